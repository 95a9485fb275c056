/** What people are told about an approval. It says what is asked and where to answer; it never decides. */
import type { Approval } from '@baton/contracts'
import type { Channel } from './read-channels.ts'

/** A POST with a JSON body. */
export interface Message {
  url: string
  headers: Record<string, string>
  body: unknown
}

/** Of each part: a section of Slack takes 3 000 characters, and escaping makes some longer. */
const SLACK_CHARS_MAX = 600

/** The message for one channel; undefined when it is of a kind that cannot be sent here. */
export function renderMessage(channel: Channel, approval: Approval, link: string): Message | undefined {
  switch (channel.kind) {
    case 'webhook':
      return { url: channel.url, headers: textsOf(channel.headers ?? {}), body: webhookBody(approval, link) }
    case 'slack':
      return { url: channel.url, headers: {}, body: slackBody(approval, link) }
    default:
      return undefined
  }
}

/** Where the approval stands: the address of its resource. Reading it decides nothing. */
export function linkTo(publicUrl: string, approval: Approval): string {
  return `${publicUrl.replace(/\/+$/, '')}/api/v1/approvals/${approval.id}`
}

function webhookBody(approval: Approval, link: string) {
  const { id, run, step, title, description, assignees, deadline, options } = approval
  return { type: 'dev.baton.approval.opened', approval: { id, run, step, title, description, assignees, deadline, options }, link }
}

function slackBody(approval: Approval, link: string) {
  const { title, description, assignees, deadline, options } = approval
  const choices = options.map((option) => option.title ?? option.id).join(' or ')
  const facts = [`for ${assignees.join(', ')}`, `choose ${choices}`, ...(deadline === null ? [] : [`until ${deadline}`])]
  const lines = [
    `*${escapeSlack(cut(title))}*`,
    ...(description === null ? [] : [escapeSlack(cut(description))]),
    escapeSlack(cut(facts.join(' · '))),
  ]
  return {
    text: escapeSlack(cut(title)),
    blocks: [
      { type: 'section', text: { type: 'mrkdwn', text: lines.join('\n') } },
      { type: 'context', elements: [{ type: 'mrkdwn', text: `<${link}|${approval.id}>` }] },
    ],
  }
}

/** Slack reads `<!channel>` and the like in plain text: titles come from inputs, so they may not ring everybody's bell. */
function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function cut(text: string): string {
  return text.length > SLACK_CHARS_MAX ? `${text.slice(0, SLACK_CHARS_MAX)}…` : text
}

function textsOf(headers: Record<string, string | number | boolean>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]))
}
