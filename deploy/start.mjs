// The first program of a container: reads its memory limit and becomes the service, with three fifths of it as heap; buffers, stacks and code
// live beside the heap. Node's own --max-old-space-size-percentage takes a reservation for the limit where cgroups are of version 1.
// glibc gives each of Node's threads a heap of its own for what is not JavaScript, and what is left over in one serves no other: two are enough, and
// 3 MB less of an idle service. It reads that only when a program starts; other C libraries pass over it.
import { readFileSync } from 'node:fs'

const SHARE = 0.6
const MIB = 2 ** 20
const [, , program = '/srv/app/main.js', ...rest] = process.argv

function limitMib() {
  for (const file of ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']) {
    try {
      const bytes = Number(readFileSync(file, 'utf8'))
      if (bytes > 0 && bytes < 2 ** 50) return bytes / MIB // "max", and what version 1 has for it, are none
    } catch {
      // the other version
    }
  }
  return undefined
}

const limit = /--max-old-space-size/.test(process.env.NODE_OPTIONS ?? '') ? undefined : limitMib()
const heap = limit === undefined ? [] : [`--max-old-space-size=${Math.floor(limit * SHARE)}`]
const env = { MALLOC_ARENA_MAX: '2', ...process.env }
process.execve(process.execPath, ['node', ...heap, program, ...rest], env)
