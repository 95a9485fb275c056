/** What starts runs from outside: schedules, triggers (webhooks and events), and the events themselves. */
import type { CustomEvent, EventsAccepted, NewSchedule, NewTrigger, Schedule, Trigger, TriggerSaved } from '@baton/contracts'
import type { CallOptions, Send } from './http.ts'
import { readPages } from './pages.ts'

/** A CloudEvent without what the client adds: `specversion`, and an `id` unless you give one. */
export type NewEvent = Omit<CustomEvent, 'specversion' | 'id'> & { source: string; type: string; id?: string }

/** Calls on /api/v1/schedules. */
export function scheduleCalls(send: Send) {
  const pathOf = (name: string) => `/api/v1/schedules/${encodeURIComponent(name)}`
  return {
    /** All schedules, newest first. */
    list(options: CallOptions = {}): AsyncGenerator<Schedule, void, undefined> {
      return readPages(send, '/api/v1/schedules', { limit: 200 }, options.signal)
    },
    /** A schedule with its next slot and its last. */
    get(name: string, options: CallOptions = {}): Promise<Schedule> {
      return send({ method: 'GET', path: pathOf(name), ...options })
    },
    /** Makes or changes a schedule. */
    put(name: string, schedule: NewSchedule, options: CallOptions = {}): Promise<Schedule> {
      return send({ method: 'PUT', path: pathOf(name), body: schedule, ...options })
    },
    /** The runs that it has started go on. */
    delete(name: string, options: CallOptions = {}): Promise<void> {
      return send({ method: 'DELETE', path: pathOf(name), ...options })
    },
  }
}

/** Calls on /api/v1/triggers. */
export function triggerCalls(send: Send) {
  const pathOf = (name: string) => `/api/v1/triggers/${encodeURIComponent(name)}`
  return {
    /** All triggers, newest first. */
    list(options: CallOptions = {}): AsyncGenerator<Trigger, void, undefined> {
      return readPages(send, '/api/v1/triggers', { limit: 200 }, options.signal)
    },
    get(name: string, options: CallOptions = {}): Promise<Trigger> {
      return send({ method: 'GET', path: pathOf(name), ...options })
    },
    /** Makes or changes a trigger. The `token` and `url` of a new webhook are in this answer and nowhere else. */
    put(name: string, trigger: NewTrigger, options: CallOptions = {}): Promise<TriggerSaved> {
      return send({ method: 'PUT', path: pathOf(name), body: trigger, ...options })
    },
    /** Gives a webhook another token, shown in this answer alone; the old one is unknown from now on. */
    rotate(name: string, options: CallOptions = {}): Promise<TriggerSaved> {
      return send({ method: 'POST', path: `${pathOf(name)}/rotate`, ...options })
    },
    /** The runs that it has started go on. */
    delete(name: string, options: CallOptions = {}): Promise<void> {
      return send({ method: 'DELETE', path: pathOf(name), ...options })
    },
  }
}

/** Calls on /api/v1/events. */
export function eventCalls(send: Send) {
  return {
    /**
     * Sends one event or several, accepted together or not at all. An event without an `id` gets one, so that it may be sent again after a cut:
     * what had arrived is then a duplicate.
     */
    post(events: NewEvent | readonly NewEvent[], options: CallOptions = {}): Promise<EventsAccepted> {
      const isBatch = Array.isArray(events)
      const whole = [events as NewEvent | NewEvent[]].flat().map(completed)
      return send({
        method: 'POST',
        path: '/api/v1/events',
        body: JSON.stringify(isBatch ? whole : whole[0]),
        contentType: `application/cloudevents${isBatch ? '-batch' : ''}+json`,
        repeatable: true,
        ...options,
      })
    },
  }
}

function completed(event: NewEvent): object {
  return { specversion: '1.0', id: globalThis.crypto.randomUUID(), ...event }
}
