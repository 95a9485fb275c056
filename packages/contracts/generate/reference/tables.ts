/** What pages of the reference are made of. */
import type { DefinitionKey } from '../../src/definition-keys.ts'

export const GENERATED = '<!-- Generated from packages/contracts by `npm run generate`; do not edit. -->'

/** A table of keys; those inside others are named by their path. */
export function keysTable(keys: readonly DefinitionKey[]): string {
  const rows = keys.map(({ path, type, standard, isRequired, meaning }) => {
    const left = isRequired
      ? path.includes('.')
        ? 'needed there'
        : '**required**'
      : standard === undefined
        ? ''
        : `\`${unquoted(standard)}\``
    return `| \`${path}\` | ${cell(type)} | ${cell(left)} | ${cell(capital(meaning))} |`
  })
  return `| key | type | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}`
}

/** Text for a cell of a table. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

/** A default as users write it in YAML. */
function unquoted(json: string): string {
  const value: unknown = JSON.parse(json)
  return typeof value === 'string' ? value : json
}
