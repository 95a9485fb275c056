// HEALTHCHECK of the images, which have neither a shell to rely on nor curl: exit 0 when the service of this container is alive.
try {
  const response = await fetch(`http://127.0.0.1:${process.env.PORT}/healthz`, { signal: AbortSignal.timeout(2_000) })
  process.exit(response.status === 200 ? 0 : 1)
} catch {
  process.exit(1)
}
