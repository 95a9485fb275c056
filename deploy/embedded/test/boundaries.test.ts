import { spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'tap'
import { temporaryFolder } from './temporary-folder.ts'

const ROOT = resolve(import.meta.dirname, '../../..')

/** The workspace without its sources, to which a test adds one wrong import. */
function copyManifests(t: { teardown(action: () => unknown): void }): string {
  const folder = temporaryFolder(t)
  const files = ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml', 'turbo.json']
  const places = ['packages/*', 'services/*', 'deploy/embedded', 'examples', 'bench']
  files.push(...globSync('patches/*', { cwd: ROOT }))
  for (const place of places) files.push(...globSync(`${place}/{package,turbo}.json`, { cwd: ROOT }))
  for (const file of files) {
    mkdirSync(join(folder, dirname(file)), { recursive: true })
    cpSync(join(ROOT, file), join(folder, file))
  }
  spawnSync('git', ['init', '-q'], { cwd: folder })
  return folder
}

function boundaries(folder: string): { status: number | null; said: string } {
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1' }
  const { status, stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/turbo'), ['boundaries'], {
    cwd: folder,
    env,
    encoding: 'utf8',
  })
  return { status, said: stdout + stderr }
}

function addSource(folder: string, place: string, text: string): void {
  mkdirSync(join(folder, place, 'src'), { recursive: true })
  writeFileSync(join(folder, place, 'src', 'index.ts'), text)
}

function addDependency(folder: string, place: string, name: string): void {
  const file = join(folder, place, 'package.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  manifest.dependencies = { ...manifest.dependencies, [name]: 'workspace:*' }
  writeFileSync(file, JSON.stringify(manifest))
}

test('the import rules hold, and each way around them is found', async (t) => {
  const folder = copyManifests(t)
  t.equal(boundaries(folder).status, 0, 'the workspace as it is')

  addSource(folder, 'packages/engine', "export { connect } from '@baton/store'\n")
  t.match(boundaries(folder), { status: 1, said: /cannot import package `@baton\/store`/ }, 'a package that is not declared')

  addSource(folder, 'packages/engine', "export { connect } from '../../store/src/connect.ts'\n")
  t.match(boundaries(folder), { status: 1, said: /leaves the package/ }, 'a path into another package')

  addSource(folder, 'packages/engine', 'export {}\n')
  addDependency(folder, 'packages/runtime', '@baton/store')
  t.match(boundaries(folder), { status: 1, said: /`@baton\/runtime`/ }, 'runtime may have contracts alone')
})

test('a service may not depend on another service', async (t) => {
  const folder = copyManifests(t)
  addDependency(folder, 'services/fanout', '@baton/orchestrator')
  t.match(boundaries(folder), { status: 1, said: /`@baton\/fanout`/ })
})
