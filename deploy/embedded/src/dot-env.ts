import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { explainFileError } from './stack-problem.ts'

/** The settings in a .env file; none when there is no file. */
export function readDotEnv(file: string): Record<string, string> {
  return existsSync(file) ? (parseEnv(readFileSync(file, 'utf8')) as Record<string, string>) : {}
}

const HEAD = `# Settings of this checkout, made by the first \`make up\`. The environment wins over this file; .env.example lists more settings.
`

/** Sets values in a .env file in place and leaves every other line as it is; the file is readable by its owner alone. */
export function writeDotEnv(file: string, values: Record<string, string>): void {
  let text = existsSync(file) ? readFileSync(file, 'utf8') : HEAD
  for (const [name, value] of Object.entries(values)) {
    const line = `${name}=${value}`
    const pattern = new RegExp(`^[ \\t]*(?:export[ \\t]+)?${name}[ \\t]*=.*$`, 'm')
    if (pattern.test(text)) text = text.replace(pattern, () => line)
    else text += `${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`
  }
  try {
    writeFileSync(`${file}.new`, text, { mode: 0o600 })
    renameSync(`${file}.new`, file)
    chmodSync(file, 0o600)
  } catch (error) {
    throw explainFileError(error, file)
  }
}

/** A random text of letters and digits with 32 bytes of chance: fit for URLs, headers and .env without quoting. */
export function makeSecret(): string {
  return randomBytes(32).toString('hex')
}
