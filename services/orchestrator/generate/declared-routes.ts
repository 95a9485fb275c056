/** The routes of the API as the service itself declares them: its own code is asked, with nothing behind it. */
import { globSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import type { z } from 'zod'
import type { Deps } from '../src/app.ts'
import { Settings } from '../src/config.ts'
import { type Access, accessOf } from '../src/route-roles.ts'

/** A route with what its declaration says of it. */
export interface DeclaredRoute {
  method: string
  url: string
  access: Access
  tag: string
  summary: string
  description: string | undefined
  query: z.ZodType | undefined
  body: z.ZodType | undefined
  mediaTypes: readonly string[]
  statuses: readonly number[]
}

interface Schema {
  tags: [string]
  summary: string
  description?: string
  querystring?: z.ZodType
  body?: z.ZodType
  'x-raw-body'?: { contentTypes: readonly string[] }
  'x-answers': Record<number, unknown>
}

type Declare = (app: unknown, deps: Deps) => void

const FOLDER = join(import.meta.dirname, '../src/routes')

/** All routes of src/routes, in the order of its files. */
export async function declaredRoutes(): Promise<DeclaredRoute[]> {
  const found: DeclaredRoute[] = []
  // What routes do is never asked for here: to be declared they need limits alone.
  const deps = { settings: defaults() } as Deps
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => (value) => ({ value }))
  app.addHook('onRoute', ({ method, url, schema }) => void found.push(routeOf(String(method), url, schema as unknown as Schema)))
  for (const file of globSync('*.ts', { cwd: FOLDER }).sort()) {
    for (const [name, declare] of Object.entries((await import(join(FOLDER, file))) as Record<string, Declare>)) {
      if (name.endsWith('Routes')) declare(app, deps)
    }
  }
  await app.ready()
  return found
}

function defaults(): Deps['settings'] {
  const secret = '0'.repeat(64)
  const given = {
    DATABASE_URL: 'postgres://localhost/x',
    REDIS_URL: 'redis://localhost',
    BATON_ADMIN_KEY: secret,
    BATON_MASTER_KEY: secret,
  }
  return Settings.parse(given)
}

function routeOf(method: string, url: string, schema: Schema): DeclaredRoute {
  const access = accessOf(method, url)
  if (access === undefined) throw new Error(`route ${method} ${url} has no entry in src/route-roles.ts`)
  const { tags, summary, description, querystring: query, body, 'x-raw-body': raw, 'x-answers': answers } = schema
  const statuses = Object.keys(answers).map(Number)
  return { method, url, access, tag: tags[0], summary, description, query, body, mediaTypes: raw?.contentTypes ?? [], statuses }
}
