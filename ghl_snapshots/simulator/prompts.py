"""Prompts of AI agents, as long as people write them: two to four thousand characters."""

import random

from ghl_snapshots.simulator.profile import Profile

_TONES = (
    "warm, unhurried and concise; you sound like a colleague who has been here for years",
    "friendly and efficient; short sentences, no jargon, never more than one question at a time",
    "calm and reassuring; you repeat names and times back before you go on",
)
_FAQS = (
    ("Do you have parking?", "Yes, free parking behind the building; the entrance is on the left."),
    ("Do you take walk-ins?", "We keep a few slots a day; calling ahead saves a wait."),
    (
        "What is your cancellation policy?",
        "Please give us 24 hours' notice; later than that there is a $50 fee.",
    ),
    (
        "Which payments do you accept?",
        "All major cards, HSA/FSA cards, Apple Pay, and monthly plans over $500.",
    ),
    ("Is there someone who speaks Spanish?", "Sí, claro: two of our team members do, every weekday."),
    ("How soon can I be seen?", "Usually within three working days; emergencies the same day."),
)
_RULES = (
    "Never give medical, legal or technical advice; offer to book a visit instead.",
    "Never quote a price that is not listed above. If asked, say that it depends and offer a consultation.",
    "Confirm the spelling of the name and read the phone number back digit by digit.",
    "If the caller is silent for more than five seconds, ask once whether they are still there.",
    "Do not promise a call back before the next working day.",
    "If you are unsure, say so and take a message; do not make something up.",
    "Offer two appointment times, never more; if neither fits, ask for a preferred day.",
    "Do not mention that you are an AI unless asked; if asked, say so honestly.",
)

_CALL = """# How a call goes
1. Greet, and find out whether the caller is a new or an existing {client}.
2. Ask what they need and listen to the end. Acknowledge it in one sentence.
3. Collect full name, phone number and email, one at a time.
4. Offer the two next free times for the matching service and book the one they choose.
5. Repeat date, time and address. Say that a text message with the details is on its way.
6. Ask whether there is anything else, thank them by name and end the call."""
_HANDING_OVER = """# Handing over
Transfer at once when the caller asks for a person, is upset, or mentions an emergency. Outside opening hours,
say that {owner} will call back on the next working day, take a message with name, number and reason, and add
the tag `callback`."""
_GOAL = """Your goal is a booked appointment. When a time is agreed, use the booking action; type no link."""


def voice_prompt(profile: Profile, role: str, choice: random.Random) -> str:
    """What a voice agent is told."""
    city, state, _, _ = profile.city
    role_text = f"You are the {role} of {profile.name}, a {profile.industry.trade} in {city}, {state}."
    parts = [
        f"# Role\n{role_text} You are {choice.choice(_TONES)}.",
        _business(profile),
        _services(profile),
        _CALL.format(client=profile.industry.client),
        _rules(choice, 6),
        _faqs(choice, 4),
        _HANDING_OVER.format(owner=profile.owner[0]),
    ]
    return "\n\n".join(parts)


def conversation_prompt(profile: Profile, name: str, choice: random.Random) -> str:
    """What a conversation agent is told."""
    role = f"You are “{name}”, who answers written messages for {profile.name} in {profile.city[0]}."
    parts = [
        f"{role} At most two sentences a message, {choice.choice(_TONES)}.",
        _business(profile),
        _services(profile),
        _rules(choice, 4),
        _faqs(choice, 3),
        _GOAL,
    ]
    return "\n\n".join(parts)


def _business(profile: Profile) -> str:
    opens, closes = profile.industry.opening
    saturday = f"Saturday {opens + 1}:00-14:00" if profile.industry.weekend else "closed at weekends"
    return (
        "# The business\n"
        f"Address: {profile.address}, {profile.city[0]}, {profile.city[1]} {profile.city[2]}\n"
        f"Phone: {profile.phone()}\nWebsite: www.{profile.slug}.example\n"
        f"Hours: Monday to Friday {opens}:00-12:00 and 13:00-{closes}:30, {saturday} ({profile.city[3]})\n"
        f"Owner: {' '.join(profile.owner)}"
    )


def _services(profile: Profile) -> str:
    lines = [
        f"- {name}: {minutes} minutes, {f'${price}' if price else 'free'}"
        for name, minutes, price in profile.industry.services
    ]
    return "# Services\n" + "\n".join(lines)


def _rules(choice: random.Random, count: int) -> str:
    return "# Rules\n" + "\n".join(f"- {rule}" for rule in choice.sample(_RULES, count))


def _faqs(choice: random.Random, count: int) -> str:
    return "# Frequent questions\n" + "\n".join(f"Q: {q}\nA: {a}" for q, a in choice.sample(_FAQS, count))
