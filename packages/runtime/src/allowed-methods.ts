import type { FastifyInstance } from 'fastify'

/** Remembers every route that is added from now on; the result gives the methods that some route takes at a path, sorted. */
export function trackRoutes(app: FastifyInstance): (path: string) => string[] {
  const methodsByUrl = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ method, url }) => {
    const methods = methodsByUrl.get(url) ?? new Set()
    for (const name of [method].flat()) methods.add(name)
    methodsByUrl.set(url, methods)
  })
  return (path) => {
    const allowed = new Set<string>()
    for (const [url, methods] of methodsByUrl) {
      if (patternOf(url).test(path)) for (const method of methods) allowed.add(method)
    }
    return [...allowed].sort()
  }
}

/** Only asked when nothing matched, so nothing is kept. */
function patternOf(url: string): RegExp {
  const source = url
    .split(/(:\w+\??(?:\([^)]*\))?|\*)/)
    .map((part) => {
      if (part === '*') return '.*'
      if (part.startsWith(':')) return '[^/]+'
      return part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
    })
    .join('')
  return new RegExp(`^${source}$`)
}
