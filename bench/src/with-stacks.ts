import { type OwnStack, type OwnStackOptions, startOwnStack } from './own-stack.ts'
import { onInterrupt } from './run-command.ts'
import { startTarget, type Target } from './start-target.ts'

/** Starts a stack below the folder whose workflows call the target. */
export type StartStack = (folder: string, options?: OwnStackOptions) => Promise<OwnStack>

/** Gives `measure` a target and a way to start stacks; whatever becomes of it, also when it is interrupted, all of them are stopped after it. */
export async function withStacks<T>(measure: (target: Target, start: StartStack) => Promise<T>): Promise<T> {
  const target = await startTarget()
  const running = new Set<OwnStack>()
  const stop = async () => {
    for (const stack of running) {
      running.delete(stack)
      await stack.stop()
    }
    await target.stop()
  }
  const watched = onInterrupt(stop)
  try {
    return await measure(target, async (folder, options) => {
      const stack = await startOwnStack(folder, target.url, options)
      running.add(stack)
      return {
        ...stack,
        stop(how) {
          running.delete(stack)
          return stack.stop(how)
        },
      }
    })
  } finally {
    watched()
    await stop()
  }
}
