/** GET /ws (CONTRACT §5): the upgrade. */
import { problem } from '@baton/runtime'
import fastifyWebsocket, { type WebsocketPluginOptions } from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { type Authenticator, namespaceOf, tokenOf } from '../authenticate.ts'
import { type ConnectionOptions, serveConnection } from '../connection.ts'

/** Beyond this the WebSocket layer itself hangs up (1009); up to it a frame that is too large is answered with `bad_frame`. */
const PAYLOAD_BYTES_MAX = 1024 * 1024

/** Adds the route. The caller closes the sockets before the app closes. */
export async function wsRoutes(app: FastifyInstance, options: ConnectionOptions & { authenticator: Authenticator }): Promise<void> {
  const serverOptions: WebsocketPluginOptions['options'] = {
    perMessageDeflate: false,
    maxPayload: PAYLOAD_BYTES_MAX,
    // The token stands beside `baton` and is not echoed.
    handleProtocols: (protocols) => (protocols.has('baton') ? 'baton' : false),
  }
  await app.register(fastifyWebsocket, {
    options: serverOptions,
    // ws ends a connection by itself, with the right code, after an error of the protocol.
    errorHandler: (err, socket, request) => {
      request.log.debug({ err }, 'socket failed')
      if (socket.readyState === socket.OPEN) socket.terminate()
    },
    preClose(done) {
      this.websocketServer.close()
      done()
    },
  })
  app.route({
    method: 'GET',
    url: '/ws',
    // HEAD would not be a subscription.
    exposeHeadRoute: false,
    handler: (_request, reply) => {
      reply.header('upgrade', 'websocket')
      throw problem('BTN_BAD_REQUEST', 'this address takes WebSocket connections alone; GET /sse/runs/{id} follows a run over plain HTTP')
    },
    wsHandler: (socket: WebSocket, request) => {
      const source = { headers: request.headers, query: request.query as Record<string, unknown> }
      const principal = options.authenticator.authenticate(tokenOf(source), namespaceOf(source))
      serveConnection(socket, request.raw.socket, principal, options)
    },
  })
}
