import { createLogger, loadSettings, runService } from '@baton/runtime'
import { buildApp } from './app.ts'
import { Settings } from './config.ts'

const settings = loadSettings(Settings)
await runService('hitl-worker', () => buildApp(settings, createLogger({ name: 'hitl-worker', level: settings.LOG_LEVEL })))
