/** `baton runs watch`: a line for each event. */
import type { CloudEvent } from '@baton/client'
import { brief, paintStatus } from './table.ts'
import type { CommandContext } from './terminal.ts'

/** Prints events until the run has ended (or Ctrl-C); with `--json` each is a line of JSON. */
export async function watch(context: CommandContext, id: string, flags: { after: number; follow?: boolean }): Promise<void> {
  const { terminal, client } = context
  try {
    for await (const event of client.watchRun(id, { after: flags.after, follow: flags.follow === true, signal: terminal.signal })) {
      terminal.out(context.json ? `${JSON.stringify(event)}\n` : describeEvent(event, context))
    }
  } catch (err) {
    if (!terminal.signal.aborted) throw err
  }
}

function describeEvent(event: CloudEvent, { paint, terminal }: CommandContext): string {
  const [noun = '', verb = ''] = event.type.replace('dev.baton.', '').split('.')
  const who = event.subject === undefined ? noun : `${noun} ${paint('bold', event.subject)}`
  const room = Math.max(30, terminal.columns - 60)
  const text = brief(resultOf(event.data), room)
  return `${paint('dim', event.time.slice(11, 23))} ${String(event.seq).padStart(4)}  ${who} ${paintStatus(verb, paint)}  ${paint('dim', text)}`
    .trimEnd()
    .concat('\n')
}

/** What matters of an event's data on one line. */
function resultOf(data: CloudEvent['data']): unknown {
  const error = data['error'] as { message?: string } | null | undefined
  if (error?.message !== undefined) return error.message
  return data['output'] ?? data['waitingFor'] ?? data['title'] ?? data['decision'] ?? ''
}
