/** workflow-runner: advances runs; the sole writer of run state. */
import { loadSettings, runService } from '@baton/runtime'
import { buildApp } from './app.ts'
import { Settings } from './config.ts'

await runService('workflow-runner', () => buildApp(loadSettings(Settings)))
