"""The custody of single-use grants: exchanging them for tokens survives the end of the process that asks.

Problem: GHL's answer to a refresh token holds the next one, and the one that was sent is spent. A process
that is killed between the answer and the commit takes the next one with it, and the account is lost. A run
may be ended at any moment (`kill -9`, the terminal's Ctrl-C, a signal to its process group), a thread of it
ends with it, and nothing can be stored beforehand, because only the answer says what.

Mechanism: a process of its own, the custodian, does the exchange whole: it takes the tenant's lock, looks
whether somebody else was quicker, asks GHL, stores and commits with the audit event. It is started for one
errand, about once a day for each OAuth tenant, and leads a session of its own, so that no terminal and no
process group reaches it; signals that ask it to end it ignores. The errand, which holds secrets, comes by
standard input, never by arguments; what came of it, the requests that were sent included, goes back by
standard output, which nobody need read. A capture waits for it while it has time itself; the custodian goes
on. Its life is bounded: each of its waits is, and an alarm ends it after all of them, which begins anew with
GHL's answer. A fork of the capturing process would start sooner, but that process has threads, locks
and open connections, which a fork must not touch.

Limit: what kills the custodian itself within that moment (`kill -9` of every process, of a container or of
a control group, an out-of-memory killer, the machine), and a database that stays away for longer than
`STORING_SECONDS`, still lose the account's tokens. docs/operations.md says how to get others.
"""
