/** Pages of docs/patterns are written by hand; the examples in them stand between marks, and are those of examples/patterns. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readExampleFiles } from './example-files.ts'

const FOLDER = 'docs/patterns'
const MARKED = /<!-- example: ([a-z-]+) -->\n[\s\S]*?<!-- \/example -->/g

/** Path to page, with every example as it is now. Throws when a mark names none, or an example stands on no page. */
export function patternPages(repository: string): Record<string, string> {
  const examples = new Map(readExampleFiles(repository, 'patterns').map(({ name, text }) => [name, text]))
  const unshown = new Set(examples.keys())
  const pages = readdirSync(join(repository, FOLDER)).filter((file) => file.endsWith('.md'))
  const filled = pages.map((file) => {
    const page = readFileSync(join(repository, FOLDER, file), 'utf8').replaceAll(MARKED, (_mark, name: string) => {
      const text = examples.get(name)
      if (text === undefined) throw new Error(`${FOLDER}/${file} shows ${name}, which is not in examples/patterns`)
      unshown.delete(name)
      const link = `[examples/patterns/${name}.yaml](../../examples/patterns/${name}.yaml)`
      return `<!-- example: ${name} -->\n${link}\n\n\`\`\`yaml\n${text.trimEnd()}\n\`\`\`\n<!-- /example -->`
    })
    return [join(FOLDER, file), page] as const
  })
  if (unshown.size > 0) throw new Error(`no page of ${FOLDER} shows examples/patterns/${[...unshown].join(', ')}`)
  return Object.fromEntries(filled)
}
