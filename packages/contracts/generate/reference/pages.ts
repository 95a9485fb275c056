/** docs/reference: every generated page by its path in the repository. */
import { join } from 'node:path'
import { commonKeysPage } from './common-keys-page.ts'
import { definitionPage } from './definition-page.ts'
import { readExampleFiles } from './example-files.ts'
import { indexPage } from './index-page.ts'
import { kindPages } from './kind-pages.ts'

/** All pages; throws when an example of examples/kinds stands on none. */
export function referencePages(repository: string): Record<string, string> {
  const examples = readExampleFiles(repository, 'kinds')
  const unshown = new Set(examples.map(({ name }) => name))
  const pages: Record<string, string> = {
    'README.md': indexPage(),
    ...kindPages(examples, unshown),
    'common-keys.md': commonKeysPage(examples, unshown),
    'definition.md': definitionPage(examples, unshown),
  }
  if (unshown.size > 0) throw new Error(`no page of docs/reference shows examples/kinds/${[...unshown].join(', ')}`)
  return Object.fromEntries(Object.entries(pages).map(([file, text]) => [join('docs/reference', file), `${text.trimEnd()}\n`]))
}
