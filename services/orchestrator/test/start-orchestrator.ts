/** The service on a database and a Redis of the test's own, and how tests talk to it. */
import { randomUUIDv7 } from 'node:crypto'
import { idOf, type Json, type Role, uuidOf } from '@baton/contracts'
import { parseSettings } from '@baton/runtime'
import type { Sql } from '@baton/store'
import { type Teardown, type TestRedis, testDatabase, testRedis } from '@baton/testing'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { buildApp } from '../src/app.ts'
import { Settings } from '../src/config.ts'

export const ADMIN_KEY = 'test-admin-key-0123456789'

export interface Answer {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  body: any
  text: string
}

export interface Asked {
  key?: string | null
  body?: Json
  /** Sent as it is. */
  text?: string
  type?: string
  headers?: Record<string, string>
}

export interface Orchestrator {
  app: FastifyInstance
  sql: Sql
  redis: TestRedis
  databaseUrl: string
  ask(method: string, url: string, asked?: Asked): Promise<Answer>
  get(url: string, asked?: Asked): Promise<Answer>
  post(url: string, body?: Json, asked?: Asked): Promise<Answer>
  put(url: string, body?: Json, asked?: Asked): Promise<Answer>
  /** A new API key with this role. */
  key(role: Role, extra?: { name?: string; groups?: string[]; namespace?: string }): Promise<string>
  /** Saves a workflow and gives its name. */
  save(definition: Json, name?: string): Promise<string>
}

/** Builds the service; settings beside the needed ones by their names. It does not listen unless the test says so. */
export async function startOrchestrator(t: Teardown, settings: Record<string, string> = {}): Promise<Orchestrator> {
  const [database, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const { app } = await buildApp(settingsOf({ databaseUrl: database.url, redis }, settings))
  t.teardown(() => app.close())
  await app.ready()
  return { app, sql: database.sql, redis, databaseUrl: database.url, ...talkTo(app) }
}

/** The settings of a replica on these. */
export function settingsOf(
  { databaseUrl, redis }: Pick<Orchestrator, 'databaseUrl' | 'redis'>,
  settings: Record<string, string> = {},
): Settings {
  return parseSettings(Settings, {
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url,
    LOG_LEVEL: 'silent',
    BATON_ADMIN_KEY: ADMIN_KEY,
    BATON_MASTER_KEY: '0'.repeat(64),
    ...settings,
  })
}

function talkTo(app: FastifyInstance) {
  let names = 0
  async function ask(method: string, url: string, { key = ADMIN_KEY, body, text, type, headers }: Asked = {}): Promise<Answer> {
    const payload = text ?? (body === undefined ? undefined : JSON.stringify(body))
    const response = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url,
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(payload === undefined ? {} : { 'content-type': type ?? 'application/json' }),
        ...headers,
      },
      ...(payload === undefined ? {} : { payload }),
    })
    const isJson = String(response.headers['content-type']).includes('json')
    return {
      status: response.statusCode,
      headers: response.headers,
      body: isJson && response.payload !== '' ? JSON.parse(response.payload) : undefined,
      text: response.payload,
    }
  }
  const post = (url: string, body?: Json, asked: Asked = {}) => ask('POST', url, { ...asked, ...(body === undefined ? {} : { body }) })
  const put = (url: string, body?: Json, asked: Asked = {}) => ask('PUT', url, { ...asked, ...(body === undefined ? {} : { body }) })
  return {
    ask,
    get: (url: string, asked: Asked = {}) => ask('GET', url, asked),
    post,
    put,
    async key(role: Role, extra: { name?: string; groups?: string[]; namespace?: string } = {}) {
      const made = await post('/api/v1/api-keys', { name: `${role}-${++names}`, role, ...extra })
      if (made.status !== 201) throw new Error(`no key: ${made.text}`)
      return made.body.key as string
    },
    async save(definition: Json, name = `flow-${++names}`) {
      const saved = await put(`/api/v1/workflows/${name}`, definition)
      if (saved.status !== 201 && saved.status !== 200) throw new Error(`not saved: ${saved.text}`)
      return name
    },
  }
}

/** A definition with one step, that takes any input. */
export const TINY = { steps: { only: { set: { a: 1 } } } } satisfies Json

/** The bare UUID of a run. */
export function bare(runId: string): string {
  return uuidOf('run', runId)!
}

/** An id of a run that does not exist. */
export function unknownRun(): string {
  return idOf('run', randomUUIDv7())
}
