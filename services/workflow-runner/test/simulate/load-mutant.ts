/** Loads a runner with an edit in its source. Its modules are instances of their own, beside those of every other mutant. */
import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { RunnerPlace } from '@baton/testing/simulate'
import { MUTANTS } from './mutants.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
const PLACES = ['packages/engine/src/', 'packages/runtime/src/', 'packages/store/src/', 'services/workflow-runner/'].map(
  (place) => pathToFileURL(`${ROOT}/${place}`).href,
)
const QUERY = '?mutant='

/** Mutants are told by their place in the table: all modules of one carry it in their address. */
const mutantOf = (url: string | undefined) => (url?.includes(QUERY) ? Number(url.split(QUERY)[1]) : undefined)

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    const mutant = mutantOf(context.parentURL)
    const isOurs = PLACES.some((place) => found.url.startsWith(place)) && !found.url.includes('/node_modules/')
    return mutant === undefined || !isOurs || found.url.includes(QUERY) ? found : { ...found, url: `${found.url}${QUERY}${mutant}` }
  },
  load(url, context, next) {
    const loaded = next(url, context)
    const mutant = MUTANTS[mutantOf(url) ?? -1]
    if (!mutant?.file || url.split('?')[0] !== pathToFileURL(`${ROOT}/${mutant.file}`).href) return loaded
    edited.add(mutant.name)
    return { ...loaded, source: editsOf(mutant.name, mutant.edits, String(loaded.source)), shortCircuit: true }
  },
})

/** Mutants whose file was loaded. */
const edited = new Set<string>()

function editsOf(name: string, edits: readonly [string, string][], source: string): string {
  return edits.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`mutant "${name}": its text occurs ${text.split(from).length - 1} times`)
    return text.replace(from, () => to)
  }, source)
}

/** The runner of this mutant. Throws when the text that it replaces is not there, or is there twice. */
export async function loadMutant(index: number): Promise<(place: RunnerPlace) => void> {
  const mutant = MUTANTS[index]!
  const module = (await import(`./start-runner.ts${mutant.file ? `${QUERY}${index}` : ''}`)) as typeof import('./start-runner.ts')
  if (mutant.file && !edited.has(mutant.name)) throw new Error(`mutant "${mutant.name}": ${mutant.file} is not part of a runner`)
  return module.startRunner
}
