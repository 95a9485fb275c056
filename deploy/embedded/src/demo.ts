/** make demo: runs the demo against the stack of this checkout; with containers, its shop is one of them. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { composeShop } from './compose.ts'
import { stackPaths } from './stack-paths.ts'
import { runCommand } from './stack-problem.ts'
import { loadStackSettings } from './stack-settings.ts'
import { readState } from './stack-state.ts'

const paths = stackPaths()

await runCommand(async () => {
  const env = { ...process.env }
  const state = readState(paths)
  if (state) env['BATON_PORT_OFFSET'] ??= String(state.portOffset)
  if (state?.mode === 'docker' && !env['SHOP_URL']) env['SHOP_URL'] = composeShop(paths, loadStackSettings(paths, env))
  const args = ['--conditions=@baton/source', join(paths.root, 'examples', 'src', 'demo.ts'), ...process.argv.slice(2)]
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', env })
  return status ?? 1
})
