import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * Imports a package of a peer from the folder that it was installed into. Peers are no dependencies of the workspace, so the caller says
 * what it uses of the package.
 */
export async function loadPackage<T>(folder: string, name: string): Promise<T> {
  const parentURL = pathToFileURL(join(folder, 'package.json')).href
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, specifier === name && context.parentURL === import.meta.url ? { ...context, parentURL } : context),
  })
  try {
    return (await import(name)) as T
  } finally {
    hooks.deregister()
  }
}
