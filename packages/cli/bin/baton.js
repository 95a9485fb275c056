#!/usr/bin/env node
// In this repository the sources run as they are, which takes a Node that strips types (24 or later) and the condition `@baton/source`.
// The workspace brings such a Node in node_modules/.bin; an older one that was found on PATH hands over to it.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR_MIN = 24
const bundle = new URL('../dist/main.js', import.meta.url)
const source = new URL('../src/main.ts', import.meta.url)
const isOld = Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN

if (existsSync(source) && isOld) {
  const node = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url))
  if (!existsSync(node)) {
    process.stderr.write(`error: Node ${process.versions.node} is too old and the workspace is not installed: run \`make up\` first\n`)
    process.exit(1)
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)))
} else if (existsSync(source)) {
  nodeModule.registerHooks({
    resolve: (specifier, context, next) => next(specifier, { ...context, conditions: [...context.conditions, '@baton/source'] }),
  })
  await import(source.href)
} else {
  await import(bundle.href)
}
