/** What a command may touch of the world. */
import type { BatonClient } from '@baton/client'
import type { Paint } from './table.ts'

/** Streams, environment and place of the program; tests bring their own. */
export interface Terminal {
  env: NodeJS.ProcessEnv
  cwd: string
  isTty: boolean
  columns: number
  stdin: NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?(raw: boolean): unknown }
  out(text: string): void
  err(text: string): void
  /** Aborted by Ctrl-C. */
  signal: AbortSignal
}

/** What every command gets. */
export interface CommandContext {
  terminal: Terminal
  /** True with `--json`. */
  json: boolean
  client: BatonClient
  paint: Paint
  /** Answers with one JSON value under `--json`, else with what `human` gives. */
  print(value: unknown, human: () => string): void
}
