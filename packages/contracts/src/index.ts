/**
 * Shapes that every part of Baton shares; zod only. Parsed at every boundary, trusted inside. A breaking change is a new name.
 */
export * from './api.ts'
export * from './controls.ts'
export * from './definition.ts'
export * from './durations.ts'
export * from './errors.ts'
export * from './events.ts'
export * from './frames.ts'
export * from './ids.ts'
export * from './json.ts'
export * from './limits.ts'
export * from './problem.ts'
export * from './redis-url.ts'
export * from './states.ts'
export * from './trace.ts'
export * from './wire.ts'
