import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Test, test } from 'tap'
import { areImagesCurrent, digestSources, rememberImages } from '../src/image-sources.ts'
import { SERVICE_NAMES } from '../src/services.ts'
import { stackPaths } from '../src/stack-paths.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** A checkout with some files, and an engine that says the ids which stand in the file `ids`. */
function prepare(t: Test) {
  const root = temporaryFolder(t)
  const write = (name: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text, { mode })
  }
  write('.dockerignore', '# a comment\n*\n!package.json\n!services/*/src\n**/node_modules\n**/*.test.ts\n')
  for (const name of ['package.json', 'compose/Dockerfile', 'compose/compose.yaml', 'services/fanout/src/routes/ws.ts']) write(name, name)
  write('ids', `${SERVICE_NAMES.map((_, n) => `sha256:${n}`).join('\n')}\n`)
  write('bin/docker', `#!/bin/sh\ncat ${root}/ids\n`, 0o755)
  const env = { PATH: `${root}/bin:${process.env['PATH']}` }
  return { paths: stackPaths(root), root, write, env }
}

test('images are current until a file, its name or a setting that they are built from changes, and again when it is as it was', async (t) => {
  const { paths, root, write, env } = prepare(t)
  t.notOk(areImagesCurrent(paths, env), 'nothing was built yet')
  rememberImages(paths, env, digestSources(paths, env))
  t.ok(areImagesCurrent(paths, env))
  write('services/fanout/src/routes/ws.ts', 'changed')
  t.notOk(areImagesCurrent(paths, env), 'a source in a folder of a folder')
  write('services/fanout/src/routes/ws.ts', 'services/fanout/src/routes/ws.ts')
  utimesSync(join(root, 'package.json'), 1, 1)
  t.ok(areImagesCurrent(paths, env), 'contents count, and not when they were written')
  write('services/fanout/src/new.ts', '')
  t.notOk(areImagesCurrent(paths, env), 'a new file')
  rmSync(join(root, 'services/fanout/src/new.ts'))
  write('compose/Dockerfile', 'FROM other')
  t.notOk(areImagesCurrent(paths, env), 'the Dockerfile')
  write('compose/Dockerfile', 'compose/Dockerfile')
  t.notOk(areImagesCurrent(paths, { ...env, NODE_IMAGE: 'node:27' }), 'another Node')
  for (const name of ['services/fanout/src/ws.test.ts', 'services/fanout/src/node_modules/x.js', 'docs/x.md']) write(name, 'left out')
  t.ok(areImagesCurrent(paths, env), 'what the engine is not given does not count')
})

test('images are not current when the engine has others of their names, or none', async (t) => {
  const { paths, write, env } = prepare(t)
  rememberImages(paths, env, digestSources(paths, env))
  write('ids', `${SERVICE_NAMES.map((_, n) => `sha256:${n + 1}`).join('\n')}\n`)
  t.notOk(areImagesCurrent(paths, env))
  write('ids', '')
  t.notOk(areImagesCurrent(paths, env))
})
