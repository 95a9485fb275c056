/** Something that a person has to read as one clear sentence; commands print its message alone and exit 1. */
export class StackProblem extends Error {
  override readonly name = 'StackProblem'
}

/** Turns the errors of a full disk and of missing rights into a sentence that names the folder; everything else comes back as it is. */
export function explainFileError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ENOSPC' || code === 'EDQUOT') return new StackProblem(diskFullSentence(path), { cause: error })
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM')
    return new StackProblem(`${path} cannot be written (${code}): run as the user that owns it, or give it to this user with chown.`, {
      cause: error,
    })
  return error
}

/** The sentence for a disk without room. */
export function diskFullSentence(path: string): string {
  return `The disk that holds ${path} is full: make room there (the stack needs about 300 MB to start), then run the command again.`
}

/** Runs a command's main function: its number is the exit code, a StackProblem is one line on stderr, anything else is a bug with its stack. */
export async function runCommand(main: () => Promise<number | undefined>): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}) // whoever read it has gone: the work goes on
  try {
    process.exitCode = (await main()) ?? 0
  } catch (error) {
    process.exitCode = 1
    console.error(error instanceof StackProblem ? `\n${error.message}` : error)
  }
}
