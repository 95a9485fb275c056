/** The command line: what there is to say, what each command is given, and how it ends. */
import { createClient } from '@baton/client'
import { Command } from 'commander'
import { addApprovalCommands } from './approval-commands.ts'
import { type ConnectionFlags, findConnection } from './connection.ts'
import { addDoctorCommand } from './doctor-command.ts'
import { EXIT, explainError } from './exit-codes.ts'
import { addLoginCommand } from './login-command.ts'
import { addRunCommands } from './run-commands.ts'
import { createPaint } from './table.ts'
import { addTaskCommands } from './task-commands.ts'
import type { CommandContext, Terminal } from './terminal.ts'
import { addTriggerCommands } from './trigger-commands.ts'
import { addVarCommands } from './var-commands.ts'
import { addWorkflowCommands } from './workflow-commands.ts'

/** Somebody is waiting at a terminal: say soon that nobody answers. */
const RETRIES = 2

/** Runs one command; resolves with its exit code, and never rejects. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = createProgram(terminal)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return EXIT.ok
  } catch (err) {
    if (terminal.signal.aborted) return EXIT.interrupted
    const { text, code } = explainError(err)
    terminal.err(text)
    return code
  }
}

/** Prepares a command: finds the connection when it is run, not before, so that `--help` needs none. */
export type Open = (command: Command) => Promise<CommandContext>

function createProgram(terminal: Terminal): Command {
  const program = new Command('baton')
    .description('Durable, live workflows that pass work between HTTP services, people and AI agents')
    .version('0.1.0')
    .option('--json', 'print JSON for machines')
    .option('--url <url>', 'of the orchestrator (BATON_URL; default http://localhost:8081)')
    .option('--key <key>', 'API key (BATON_KEY, BATON_ADMIN_KEY)')
    .option('--fanout-url <url>', 'of the live events (BATON_FANOUT_URL; default: four ports above)')
    .option('--namespace <name>', 'another namespace; admin keys only (BATON_NAMESPACE)')
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })
    .showHelpAfterError('(add --help for what this command takes)')
    .addHelpText('after', '\nExit codes: 0 done, 1 Baton refused or the run did not succeed, 2 wrong use, 3 Baton cannot be reached')
  const open: Open = (command) => openContext(command, terminal)
  addLoginCommand(program, terminal)
  addWorkflowCommands(program, open)
  addRunCommands(program, open)
  addApprovalCommands(program, open)
  addTaskCommands(program, open)
  addTriggerCommands(program, open)
  addVarCommands(program, open)
  addDoctorCommand(program, terminal)
  return program
}

async function openContext(command: Command, terminal: Terminal): Promise<CommandContext> {
  const flags = command.optsWithGlobals<ConnectionFlags & { json?: boolean }>()
  const json = flags.json === true
  return {
    terminal,
    json,
    client: createClient({ ...(await findConnection(flags, terminal)), retries: RETRIES }),
    paint: createPaint(terminal.isTty && !terminal.env['NO_COLOR']),
    print(value, human) {
      terminal.out(json ? `${JSON.stringify(value)}\n` : human())
    },
  }
}
