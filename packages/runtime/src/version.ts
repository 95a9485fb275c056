import { hostname } from 'node:os'

/** Version of Baton; all packages share it. */
export const VERSION = '0.1.0'

/** Tells this process from those that ran in its place before: process id and when it started. */
export const LIFE = `${process.pid}-${Math.round(performance.timeOrigin).toString(36)}`
/** Name of this process among the replicas of its service. Also its name in consumer groups. */
export const REPLICA = `${hostname()}-${LIFE}`
