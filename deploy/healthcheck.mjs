// HEALTHCHECK of the images, which have neither a shell to rely on nor curl: exit 0 when the service of this container is alive.
// It runs every second while a service starts, so it loads nothing but a socket: fetch would double its CPU.
import { connect } from 'node:net'

const socket = connect(Number(process.env.PORT), '127.0.0.1', () => socket.write('GET /healthz HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n'))
socket.once('data', (head) => process.exit(/^HTTP\/1\.1 200 /.test(head.toString('latin1')) ? 0 : 1))
for (const ending of ['error', 'close', 'timeout']) socket.once(ending, () => process.exit(1))
socket.setTimeout(4_000)
