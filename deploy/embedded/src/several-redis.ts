/** True for a REDIS_URL of sentinels or of a cluster. Services read it; the commands of the stack that speak to one server leave it alone. */
export function namesSeveral(redisUrl: string): boolean {
  return /^rediss?\+(sentinel|cluster):/.test(redisUrl)
}
