import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROUTE_ROLES } from '../src/route-roles.ts'

const GENERATE = join(import.meta.dirname, '../generate/write-generated.ts')
const page = readFileSync(join(import.meta.dirname, '../../../docs/api.md'), 'utf8')

t.test('docs/api.md says what the routes say', (t) => {
  const args = ['--no-warnings', '--conditions=@baton/source', GENERATE, '--check']
  t.equal(execFileSync(process.execPath, args, { encoding: 'utf8' }), '')
  t.end()
})

t.test('docs/api.md has every route that takes a key, and says who may call it', (t) => {
  for (const [name, access] of Object.entries(ROUTE_ROLES)) {
    if (access === 'public') continue
    const row = page.split('\n').find((line) => line.startsWith(`| \`${name.replaceAll(/:(\w+)/g, '{$1}')}\` |`))
    t.ok(row, name)
    for (const role of access) if (role !== 'admin') t.match(row?.split(' | ')[1], role, `${name}: ${role}`)
  }
  t.end()
})
