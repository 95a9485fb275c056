import { createLogger, loadSettings, runService } from '@baton/runtime'
import { buildApp } from './app.ts'
import { Settings } from './config.ts'

const settings = loadSettings(Settings)
await runService('agent-runner', () => buildApp(settings, createLogger({ name: 'agent-runner', level: settings.LOG_LEVEL })))
