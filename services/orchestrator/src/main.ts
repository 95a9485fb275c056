/** orchestrator: the REST API, the only public write door. */
import { loadSettings, runService } from '@baton/runtime'
import { buildApp } from './app.ts'
import { Settings } from './config.ts'

await runService('orchestrator', () => buildApp(loadSettings(Settings)))
