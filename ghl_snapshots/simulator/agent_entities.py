"""Generated AI workers: voice agents, conversation agents and studio agents."""

from ghl_snapshots.simulator import agent_actions
from ghl_snapshots.simulator.calendar_entities import open_week
from ghl_snapshots.simulator.profile import Profile, entity, moment
from ghl_snapshots.simulator.prompts import conversation_prompt, voice_prompt

_ROLES = (
    "Receptionist",
    "After-Hours Line",
    "Booking Assistant",
    "Lead Qualifier",
    "Billing Line",
    "Spanish Line",
)
_BOTS = (
    "Website Chat",
    "SMS Concierge",
    "Instagram DM Bot",
    "Booking Bot",
    "Reactivation Bot",
    "Review Helper",
)
_STUDIO = ("Content Planner", "Proposal Writer", "Call Summarizer", "Ad Copy Assistant", "Knowledge Curator")
_CHANNELS = (("SMS", "Live_Chat"), ("IG", "FB"), ("WhatsApp",), ("SMS", "WebChat", "Email"))


def voice_ai_agents(profile: Profile) -> list[bytes]:
    """Voice agents with their prompts, hours and actions."""
    return [_voice_agent(profile, index) for index in range(profile.sizes.voice_ai_agents)]


def conversation_ai_agents(profile: Profile) -> list[bytes]:
    """Conversation agents as the search gives them; the details of their actions are asked for one by one."""
    return [_conversation_agent(profile, index) for index in range(profile.sizes.conversation_ai_agents)]


def agent_studio_agents(profile: Profile) -> list[bytes]:
    """Studio agents as the list gives them."""
    made = []
    for index in range(profile.sizes.agent_studio_agents):
        created = moment(profile.random("studio agent", index), 400)
        content: dict[str, object] = {
            "agentId": profile.object_id("studio agent", index),
            "name": _name(_STUDIO, index),
            "description": f"{_STUDIO[index % len(_STUDIO)]} for {profile.name}",
            "locationId": profile.location_id,
            "status": "active" if index % 7 != 6 else "inactive",
            "createdAt": created,
            "updatedAt": max(created, moment(profile.random("studio agent updated", index))),
        }
        made.append(entity(content))
    return made


def _voice_agent(profile: Profile, index: int) -> bytes:
    role = _name(_ROLES, index)
    choice = profile.random("voice agent", index)
    spanish = role.startswith("Spanish")
    content: dict[str, object] = {
        "id": profile.object_id("voice agent", index),
        "locationId": profile.location_id,
        "agentName": f"{profile.name} {role}",
        "businessName": profile.name,
        "welcomeMessage": f"Thanks for calling {profile.name}! How can I help you today?",
        "agentPrompt": voice_prompt(profile, role, choice),
        "voiceId": profile.object_id("voice", index % 3),
        "language": "es" if spanish else "en-US",
        "patienceLevel": choice.choice(("low", "medium", "high")),
        "maxCallDuration": choice.choice((300, 600, 900)),
        "sendUserIdleReminders": True,
        "reminderAfterIdleTimeSeconds": choice.randint(5, 12),
        "inboundNumber": profile.phone(index),
        "numberPoolId": None if index % 2 else profile.object_id("number pool", 0),
        "callEndWorkflowIds": [profile.uuid("workflow", index % max(1, profile.sizes.workflows))],
        "sendPostCallNotificationTo": {
            "admins": True,
            "allUsers": False,
            "contactAssignedUser": index % 2 == 0,
            "specificUsers": [profile.staff(index)],
            "customEmails": [f"calls@{profile.slug}.example"],
        },
        "agentWorkingHours": _working_hours(profile),
        "timezone": profile.city[3],
        "isAgentAsBackupDisabled": False,
        "translation": {"enabled": spanish, "language": "es"},
        "actions": agent_actions.voice_actions(profile, index),
        "responsiveness": round(choice.uniform(0.4, 1.0), 2),
    }
    if content["numberPoolId"] is None:
        del content["numberPoolId"]
    return entity(content)


def _conversation_agent(profile: Profile, index: int) -> bytes:
    name = _name(_BOTS, index)
    choice = profile.random("conversation agent", index)
    created = moment(choice, 400)
    content: dict[str, object] = {
        "id": profile.short_id("conversation agent", index),
        "locationId": profile.location_id,
        "name": name,
        "businessName": profile.name,
        "mode": ("auto-pilot", "suggestive", "off")[index % 3],
        "channels": list(_CHANNELS[index % len(_CHANNELS)]),
        "waitTime": choice.choice((2, 15, 30)),
        "waitTimeUnit": "seconds",
        "sleepEnabled": False,
        "sleepTime": 2,
        "sleepTimeUnit": "hours",
        "actions": agent_actions.references(profile, index),
        "isPrimary": index == 0,
        "autoPilotMaxMessages": choice.choice((25, 50, 100)),
        "goal": {"type": "custom", "prompt": conversation_prompt(profile, name, choice), "actionId": None},
        "knowledgeBaseIds": [profile.short_id("knowledge base", index % 2)],
        "personality": choice.choice(("Warm and concise", "Upbeat", "Calm and precise")),
        "createdAt": created,
        "updatedAt": max(created, moment(choice)),
        "sleepOnManualMessage": True,
        "sleepOnWorkflowMessage": False,
    }
    return entity(content)


def _working_hours(profile: Profile) -> list[dict[str, object]]:
    """The week in the voice agents' terms."""
    return [
        {
            "dayOfTheWeek": day,
            "intervals": [
                {
                    "startHour": hours["openHour"],
                    "startMinute": hours["openMinute"],
                    "endHour": hours["closeHour"],
                    "endMinute": hours["closeMinute"],
                }
                for hours in intervals
            ],
        }
        for day, intervals in open_week(profile)
    ]


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index % len(names)] + ("" if index < len(names) else f" {index // len(names) + 1}")
