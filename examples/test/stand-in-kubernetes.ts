/**
 * As much of a Kubernetes API server as helm needs to install a chart: discovery, and objects that are kept as they come. Jobs are complete at
 * once; nothing else runs, and nothing is validated.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Spec } from './deploy-manifests.ts'

const KINDS: Record<string, Record<string, string>> = {
  v1: { pods: 'Pod', secrets: 'Secret', services: 'Service', serviceaccounts: 'ServiceAccount', namespaces: 'Namespace' },
  'apps/v1': { deployments: 'Deployment' },
  'batch/v1': { jobs: 'Job' },
  'policy/v1': { poddisruptionbudgets: 'PodDisruptionBudget' },
  'networking.k8s.io/v1': { networkpolicies: 'NetworkPolicy', ingresses: 'Ingress' },
}
const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']
const PATH = /^\/(?:api|apis)\/((?:[\w.-]+\/)?v\d+)\/namespaces\/([\w-]+)\/(\w+)(?:\/([\w.-]+))?$/

export interface StandIn {
  url: string
  /** `POST Deployment baton-fanout`, in order, without the reading ones and helm's own records. */
  changes: string[]
  find(kind: string, name: string): Spec | undefined
  names(kind: string): string[]
  remove(kind: string, name: string): void
  put(kind: string, object: Spec): void
  close(): Promise<void>
}

/** Starts one on a free port of this machine. */
export async function startStandIn(): Promise<StandIn> {
  const objects = new Map<string, Spec>()
  const changes: string[] = []
  const server = createServer((request, response) => void handle(objects, changes, request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    changes,
    find: (kind, name) => objects.get(`${kind}/${name}`),
    names: (kind) => [...objects.keys()].filter((key) => key.startsWith(`${kind}/`)).map((key) => key.slice(kind.length + 1)),
    remove: (kind, name) => void objects.delete(`${kind}/${name}`),
    put: (kind, object) => void objects.set(`${kind}/${object['metadata'].name}`, object),
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

async function handle(objects: Map<string, Spec>, changes: string[], request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://stand-in')
  const send = (status: number, body: object) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  if (url.pathname === '/openapi/v2') return void response.writeHead(200).end(openApi())
  const found = discover(url.pathname)
  if (found) return void send(200, found)
  const [, version = '', , plural = '', name] = PATH.exec(url.pathname) ?? []
  const kind = KINDS[version]?.[plural]
  if (!kind) return void send(404, problem(404, 'NotFound'))
  if (url.searchParams.get('watch')) return void response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
  const body = request.method === 'GET' ? {} : (JSON.parse((await text(request)) || '{}') as Spec)
  const named = name ?? body['metadata']?.name
  if (request.method === 'GET' && !name) return void send(200, list(objects, version, kind, url.searchParams))
  const { status, answer } = change(objects, request.method ?? 'GET', `${kind}/${named}`, body)
  if (request.method !== 'GET' && status < 300 && !named.startsWith('sh.helm.')) changes.push(`${request.method} ${kind} ${named}`)
  send(status, answer)
}

function change(objects: Map<string, Spec>, method: string, key: string, body: Spec): { status: number; answer: object } {
  const known = objects.get(key)
  if (method === 'POST' && known) return { status: 409, answer: problem(409, 'AlreadyExists') }
  if (method !== 'POST' && !known) return { status: 404, answer: problem(404, 'NotFound') }
  if (method === 'GET') return { status: 200, answer: known! }
  if (method === 'DELETE') {
    objects.delete(key)
    return { status: 200, answer: { kind: 'Status', apiVersion: 'v1', status: 'Success' } }
  }
  const next = method === 'PATCH' ? (merged(known, body) as Spec) : body
  next['metadata'] = { ...next['metadata'], uid: key, resourceVersion: '1' }
  if (next['kind'] === 'Job') next['status'] = { conditions: [{ type: 'Complete', status: 'True' }], succeeded: 1 }
  objects.set(key, next)
  return { status: method === 'POST' ? 201 : 200, answer: next }
}

/** RFC 7386: enough where no list is changed by its parts. */
function merged(base: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const result: Spec = { ...(base as Spec) }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = merged(result[key], value)
  }
  return result
}

function list(objects: Map<string, Spec>, apiVersion: string, kind: string, query: URLSearchParams): object {
  const wanted = (query.get('labelSelector') ?? '').split(',').flatMap((part) => (part ? [part.split('=')] : []))
  const name = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1]
  const items = [...objects].flatMap(([key, object]) => {
    const fits = wanted.every(([label, value]) => object['metadata'].labels?.[label!] === value)
    return key.startsWith(`${kind}/`) && fits && (name === undefined || key === `${kind}/${name}`) ? [object] : []
  })
  return { kind: `${kind}List`, apiVersion, metadata: { resourceVersion: '1' }, items }
}

function discover(path: string): object | undefined {
  if (path === '/version') return { major: '1', minor: '31', gitVersion: 'v1.31.0', platform: 'linux/amd64' }
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] }
  if (path === '/apis') {
    const groups = Object.keys(KINDS).filter((version) => version.includes('/'))
    const group = (groupVersion: string) => ({ groupVersion, version: groupVersion.split('/')[1] })
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: groups.map((gv) => ({ name: gv.split('/')[0], versions: [group(gv)], preferredVersion: group(gv) })),
    }
  }
  const [, groupVersion = ''] = /^\/apis?\/((?:[\w.-]+\/)?v\d+)$/.exec(path) ?? []
  const kinds = KINDS[groupVersion]
  if (!kinds) return undefined
  const resources = Object.entries(kinds).map(([name, kind]) => ({
    name,
    singularName: '',
    kind,
    namespaced: kind !== 'Namespace',
    verbs: VERBS,
  }))
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources }
}

/** A field of protobuf that has a length. */
function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string)
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes = []
  for (let rest = value; ; rest >>>= 7) {
    bytes.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) return Buffer.from(bytes)
  }
}

/** Every kind as a schema that takes anything: helm wants to know them before it makes hooks. Field numbers are those of gnostic's OpenAPIv2.proto. */
function openApi(): Buffer {
  const schemas = Object.entries(KINDS).flatMap(([groupVersion, kinds]) =>
    Object.values(kinds).map((kind) => {
      const [version = '', group = ''] = groupVersion.split('/').reverse()
      const yaml = `- group: "${group}"\n  kind: ${kind}\n  version: ${version}\n`
      const extension = field(31, Buffer.concat([field(1, 'x-kubernetes-group-version-kind'), field(2, field(2, yaml))]))
      return field(1, Buffer.concat([field(1, `${groupVersion}.${kind}`), field(2, extension)]))
    }),
  )
  return Buffer.concat([field(1, '2.0'), field(9, Buffer.concat(schemas))])
}

const problem = (code: number, reason: string) => ({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message: reason })
