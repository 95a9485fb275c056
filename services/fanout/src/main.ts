import { createLogger, loadSettings, runService } from '@baton/runtime'
import { buildApp } from './app.ts'
import { Settings } from './config.ts'

const settings = loadSettings(Settings)
await runService('fanout', () => buildApp(settings, createLogger({ name: 'fanout', level: settings.LOG_LEVEL })))
