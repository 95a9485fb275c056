import { hostname } from 'node:os'

/** Version of Baton; all packages share it. */
export const VERSION = '0.1.0'

/** Name of this process among the replicas of its service: host, process id and when it started. Also its name in consumer groups. */
export const REPLICA = `${hostname()}-${process.pid}-${Math.round(performance.timeOrigin).toString(36)}`
