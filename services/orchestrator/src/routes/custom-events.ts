/** Events from outside: they wake runs that wait for them, and start what their triggers say. */
import { CustomEvent, EventsAccepted } from '@baton/contracts'
import { traceOf } from '@baton/runtime'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { rawBodyOf, takeRawBodies } from '../raw-bodies.ts'
import { EVENT_TYPES, readCloudEvents } from '../read-cloud-events.ts'
import { addRoute } from '../route.ts'

const DESCRIPTION =
  'CloudEvents 1.0: structured, as a batch, or in binary mode (attributes in the headers `ce-…`, the data are the body). Answers when they are ' +
  'durable. An event whose `source` and `id` were seen is a duplicate, and does nothing. All events of a request are accepted, or none.'

/** POST /events. */
export function customEventRoutes(parent: FastifyInstance, { settings, eventTaker }: Deps): void {
  const limits = {
    eventBytesMax: settings.BATON_EVENT_BYTES_MAX,
    eventsMax: settings.BATON_EVENTS_BATCH_MAX,
    depthMax: settings.BATON_JSON_DEPTH_MAX,
  }
  parent.register(async (app) => {
    takeRawBodies(app)
    addRoute(app, {
      method: 'POST',
      url: '/api/v1/events',
      tag: 'events',
      summary: 'Accept events',
      description: DESCRIPTION,
      rawBody: { contentTypes: EVENT_TYPES, schema: z.union([CustomEvent, z.array(CustomEvent)]) },
      answers: { 202: EventsAccepted },
      problems: [400, 413, 415],
      bodyLimit: settings.BATON_EVENTS_BATCH_BYTES_MAX,
      limitName: 'BATON_EVENTS_BATCH_BYTES_MAX',
      async handle({ caller, request, reply }) {
        const events = readCloudEvents(request.headers, rawBodyOf(request.body), limits)
        const origin = { trace: traceOf(request), requestId: request.id }
        const outcomes = await eventTaker.take(
          caller.namespace,
          events.map((event) => ({ ...event, ...origin })),
        )
        const accepted = outcomes.filter((outcome) => outcome === 'accepted').length
        reply.code(202)
        return { accepted, duplicates: outcomes.length - accepted }
      },
    })
  })
}
