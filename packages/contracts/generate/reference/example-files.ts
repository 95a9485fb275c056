/** The examples that pages show as they stand. A test runs each of them against the whole stack. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ExampleFile {
  /** Of the file, without its ending. */
  name: string
  folder: string
  text: string
}

/** The examples of a folder under examples/, by name. */
export function readExampleFiles(repository: string, folder: string): ExampleFile[] {
  const path = join(repository, 'examples', folder)
  const names = readdirSync(path).flatMap((file) => (file.endsWith('.yaml') ? [file.replace('.yaml', '')] : []))
  return names.sort().map((name) => ({ name, folder, text: readFileSync(join(path, `${name}.yaml`), 'utf8') }))
}

/** One example under a heading, with a link to its file. */
export function exampleSection({ name, folder, text }: ExampleFile): string {
  return `### [${name}.yaml](../../examples/${folder}/${name}.yaml)\n\n\`\`\`yaml\n${text.trimEnd()}\n\`\`\`\n`
}
