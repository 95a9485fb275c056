/**
 * Modules that are broken on purpose: pieces of their source are replaced while they are loaded. The modules of a mutant are instances of their
 * own, beside those of every other mutant and the real ones.
 */
import { registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

/** A file, from the root of the repository, and its edits. Each first text has to occur exactly once, or the mutant would live on unnoticed. */
export interface SourceEdit {
  name: string
  file: string
  edits: readonly [from: string, to: string][]
}

const QUERY = '?mutant='

/** Mutants are told by their place in the list: all modules of one carry it in their address. */
const mutantOf = (url: string | undefined) => (url?.includes(QUERY) ? Number(url.split(QUERY)[1]) : undefined)

/**
 * A loader for these mutants; undefined is one whose source is as it is. `folders` (from `root`) hold the modules that are loaded anew. It is
 * given an import that ends with the text it is called with.
 */
export function createMutantLoader(root: string, folders: readonly string[], mutants: readonly (SourceEdit | undefined)[]) {
  const places = folders.map((folder) => pathToFileURL(`${root}/${folder}/`).href)
  /** Mutants whose file was loaded. */
  const edited = new Set<string>()

  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context)
      const mutant = mutantOf(context.parentURL)
      const isOurs = places.some((place) => found.url.startsWith(place)) && !found.url.includes('/node_modules/')
      return mutant === undefined || !isOurs || found.url.includes(QUERY) ? found : { ...found, url: `${found.url}${QUERY}${mutant}` }
    },
    load(url, context, next) {
      const loaded = next(url, context)
      const mutant = mutants[mutantOf(url) ?? -1]
      if (!mutant || url.split('?')[0] !== pathToFileURL(`${root}/${mutant.file}`).href) return loaded
      edited.add(mutant.name)
      return { ...loaded, source: edit(mutant, String(loaded.source)), shortCircuit: true }
    },
  })

  return async <Module>(index: number, load: (suffix: string) => Promise<Module>): Promise<Module> => {
    const mutant = mutants[index]
    const module = await load(mutant ? `${QUERY}${index}` : '')
    if (mutant && !edited.has(mutant.name)) throw new Error(`mutant "${mutant.name}": ${mutant.file} was not loaded`)
    return module
  }
}

function edit({ name, edits }: SourceEdit, source: string): string {
  return edits.reduce((text, [from, to]) => {
    const times = text.split(from).length - 1
    if (times !== 1) throw new Error(`mutant "${name}": ${JSON.stringify(from)} occurs ${times} times`)
    return text.replace(from, () => to)
  }, source)
}
