"""Generated actions of voice and conversation agents."""

from collections.abc import Callable

from ghl_snapshots.simulator.profile import Profile, entity

_TYPES = (
    "appointmentBooking",
    "triggerWorkflow",
    "updateContactField",
    "humanHandOver",
    "stopBot",
    "advancedFollowup",
)
_NAMES = {
    "appointmentBooking": "Book an appointment",
    "triggerWorkflow": "Start the follow-up",
    "updateContactField": "Note what they need",
    "humanHandOver": "Hand over to the team",
    "stopBot": "Stop when they say goodbye",
    "advancedFollowup": "Follow up when they go quiet",
}


def agent_ids(profile: Profile) -> list[str]:
    """The ids of the location's conversation agents in order."""
    return [
        profile.short_id("conversation agent", index) for index in range(profile.sizes.conversation_ai_agents)
    ]


def conversation_actions(profile: Profile, agent_id: str) -> list[bytes]:
    """The actions of a conversation agent in full."""
    agent = agent_ids(profile).index(agent_id)
    return [
        entity(
            {
                "id": reference["id"],
                "name": _NAMES[reference["type"]],
                "type": reference["type"],
                "agentId": agent_id,
                "details": _DETAILS[reference["type"]](profile, agent),
            }
        )
        for reference in references(profile, agent)
    ]


def references(profile: Profile, agent: int) -> list[dict[str, str]]:
    """Id and type of an agent's actions, as the agent itself lists them; the third agent has none."""
    count = 0 if agent % 8 == 2 else 1 + (agent * 3) % len(_TYPES)
    return [
        {"id": profile.short_id(f"action {agent}", place), "type": _TYPES[(agent + place) % len(_TYPES)]}
        for place in range(count)
    ]


def voice_actions(profile: Profile, agent: int) -> list[dict[str, object]]:
    """The actions inside a voice agent."""
    actions = [
        ("CALL_TRANSFER", "Transfer to the front desk", _transfer(profile)),
        ("APPOINTMENT_BOOKING", "Book a visit", _booking(profile, agent)),
        ("SMS", "Text the booking link", _text_message(profile)),
        ("WORKFLOW_TRIGGER", "Start the follow-up", _workflow(profile, agent)),
        ("KNOWLEDGE_BASE", "Answer from the handbook", _knowledge(profile)),
    ]
    return [
        {
            "id": profile.object_id(f"voice action {agent}", place),
            "actionType": kind,
            "name": name,
            "actionParameters": given,
        }
        for place, (kind, name, given) in enumerate(actions[: 2 + agent % 4])
    ]


def _transfer(profile: Profile) -> dict[str, object]:
    return {
        "triggerPrompt": f"When the {profile.industry.client} wants a person, is upset or has an emergency",
        "triggerMessage": "Of course, let me connect you with a colleague.",
        "transferToType": "number",
        "transferToValue": profile.phone(),
        "hearWhisperMessage": True,
    }


def _booking(profile: Profile, agent: int) -> dict[str, object]:
    calendar = profile.short_id("calendar", agent % max(1, profile.sizes.calendars))
    return {"calendarId": calendar, "daysOfOfferingDates": 3, "slotsPerDay": 3, "hoursBetweenSlots": 2}


def _text_message(profile: Profile) -> dict[str, object]:
    return {
        "triggerPrompt": "When the caller would rather book online",
        "triggerMessage": "I'll text you the link right away.",
        "messageBody": f"Book your visit with {profile.name}: https://book.{profile.slug}.example",
    }


def _workflow(profile: Profile, agent: int) -> dict[str, object]:
    return {
        "triggerPrompt": "When the caller asks for a price in writing",
        "triggerMessage": "I'll have that sent over today.",
        "workflowId": profile.uuid("workflow", agent % max(1, profile.sizes.workflows)),
    }


def _knowledge(profile: Profile) -> dict[str, object]:
    return {
        "triggerPrompt": "When the caller asks about services, prices, insurance or parking",
        "knowledgeBaseId": profile.short_id("knowledge base", 0),
    }


def _book_details(profile: Profile, agent: int) -> dict[str, object]:
    return {
        "actionId": profile.short_id("booking", agent),
        "calendarId": profile.short_id("calendar", agent % max(1, profile.sizes.calendars)),
        "onlySendLink": False,
        "triggerWorkflow": True,
        "workflowIds": [profile.uuid("workflow", 0)],
        "sleepAfterBooking": True,
        "sleepTimeUnit": "hours",
        "sleepTime": 24,
        "transferBot": False,
        "rescheduleEnabled": True,
        "cancelEnabled": True,
    }


def _trigger_details(profile: Profile, agent: int) -> dict[str, object]:
    return {
        "workflowIds": [profile.uuid("workflow", (agent + 1) % max(1, profile.sizes.workflows))],
        "triggerCondition": f"When the {profile.industry.client} asks about prices or financing",
        "triggerMessage": "Sending that over now.",
    }


def _field_details(profile: Profile, agent: int) -> dict[str, object]:
    return {
        "contactFieldId": profile.short_id("custom field", agent % max(1, profile.sizes.custom_fields)),
        "description": f"What the {profile.industry.client} is looking for, in their own words",
        "contactUpdateExamples": [name for name, _, _ in profile.industry.services[:3]],
    }


def _hand_over_details(profile: Profile, agent: int) -> dict[str, object]:
    return {
        "enabled": True,
        "triggerCondition": "When they ask for a human, or are unhappy with an answer",
        "examples": ["Can I talk to someone?", "I want to speak to a manager"],
        "assignToUserId": profile.staff(agent),
        "skipAssignToUser": False,
        "createTask": True,
        "reactivateEnabled": True,
        "sleepTimeUnit": "hours",
        "sleepTime": 12,
        "finalMessage": "I'm passing you to a colleague, who will be with you shortly.",
        "tags": ["human requested"],
        "handoverType": "contactRequest",
    }


def _stop_details(_profile: Profile, _agent: int) -> dict[str, object]:
    return {
        "stopBotDetectionType": "Goodbye",
        "stopBotTriggerCondition": "When they say goodbye or ask not to be messaged",
        "reactivateEnabled": True,
        "sleepTimeUnit": "days",
        "sleepTime": 7,
        "enabled": True,
        "stopBotExamples": ["bye", "that's all, thanks", "STOP"],
        "finalMessage": "Thank you, have a lovely day! 👋",
        "tags": ["conversation over"],
    }


def _follow_up_details(profile: Profile, _agent: int) -> dict[str, object]:
    opens, closes = profile.industry.opening
    hours = {"startHour": opens, "startMinute": 0, "endHour": closes, "endMinute": 0}
    return {
        "enabled": True,
        "scenarioId": "contactStoppedReplying",
        "followupSequence": [
            {
                "id": 1,
                "followupTimeUnit": "hours",
                "followupTime": 3,
                "aiEnabledMessage": True,
                "triggerWorkflow": False,
            },
            {
                "id": 2,
                "followupTimeUnit": "days",
                "followupTime": 2,
                "aiEnabledMessage": True,
                "triggerWorkflow": False,
            },
        ],
        "followupSettings": {
            "dynamicChannelSwitching": True,
            "followUpHours": True,
            "workingHours": [{"dayOfTheWeek": day, "intervals": [hours]} for day in range(1, 6)],
            "timezoneToUse": "business",
        },
    }


_DETAILS: dict[str, Callable[[Profile, int], dict[str, object]]] = {
    "appointmentBooking": _book_details,
    "triggerWorkflow": _trigger_details,
    "updateContactField": _field_details,
    "humanHandOver": _hand_over_details,
    "stopBot": _stop_details,
    "advancedFollowup": _follow_up_details,
}
