import { resolve } from 'node:path'

/** Where the embedded stack keeps its things below a checkout. */
export type StackPaths = ReturnType<typeof stackPaths>

/** The paths of the stack of the checkout at `root`; by default BATON_STACK_ROOT, which tests set, or this checkout. */
export function stackPaths(root: string = process.env['BATON_STACK_ROOT'] ?? resolve(import.meta.dirname, '../../..')) {
  const local = resolve(root, '.local')
  return {
    root,
    local,
    dotEnv: resolve(root, '.env'),
    logs: resolve(local, 'logs'),
    pids: resolve(local, 'pids'),
    postgres: resolve(local, 'postgres'),
    redis: resolve(local, 'redis', 'data'),
    redisPrograms: resolve(local, 'redis', 'programs'),
    compileCache: resolve(local, 'compile-cache'),
    /** What the supervisor says about its programs. */
    state: resolve(local, 'state.json'),
    /** Which services are to run: written by commands, read by the supervisor on SIGHUP. */
    wanted: resolve(local, 'wanted.json'),
    /** The URLs that were made for this stack, to tell them from ones that a user put into .env. */
    embeddedUrls: resolve(local, 'embedded-urls.json'),
    /** Which images were built last, and from what. */
    images: resolve(local, 'images.json'),
    lock: resolve(local, 'lock'),
  }
}
