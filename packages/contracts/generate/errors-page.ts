/** docs/errors.md, from the table of error codes. */
import { ERRORS } from '../src/errors.ts'

type Entry = { code: string; status: number; title: string; help: string }

/** The whole page as Markdown: codes that the API answers with by HTTP status, then those that stand in runs and steps. */
export function errorsPage(): string {
  const entries: Entry[] = Object.entries(ERRORS).map(([code, entry]) => ({ code, ...entry }))
  const answered = entries.filter((entry) => entry.status > 0).sort((a, b) => a.status - b.status)
  const recorded = entries.filter((entry) => entry.status === 0)
  return `# Error codes

Generated from \`packages/contracts/src/errors.ts\` by \`npm run generate\`; do not edit.

Error answers are \`application/problem+json\` (RFC 9457): \`{type, title, status, detail, code, instance, errors?}\`. \`code\` is stable: branch on
it, not on \`title\` or \`detail\`. Each entry of \`errors\` has a JSON \`pointer\` into the request, a \`message\`, and for definitions \`line\` and \`column\`.

## In answers of the API

| code | status | meaning | what to do |
|---|---|---|---|
${answered.map((entry) => `| ${anchor(entry.code)} | ${entry.status} | ${cell(entry.title)} | ${cell(entry.help)} |`).join('\n')}

## In the error of a run or step

\`{code, message, step?, cause?}\`; \`cause\` is the error behind it.

| code | meaning | what to do |
|---|---|---|
${recorded.map((entry) => `| ${anchor(entry.code)} | ${cell(entry.title)} | ${cell(entry.help)} |`).join('\n')}
`
}

/** The id that `type` of a problem links to. */
function anchor(code: string): string {
  return `<a id="${code}"></a>\`${code}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
