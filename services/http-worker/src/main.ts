/** http-worker: takes calls, makes them, answers with their results. */
import { createLogger, loadSettings, runService } from '@baton/runtime'
import { buildApp } from './app.ts'
import { Settings } from './config.ts'

const settings = loadSettings(Settings)
await runService('http-worker', () => buildApp(settings, createLogger({ name: 'http-worker', level: settings.LOG_LEVEL })))
