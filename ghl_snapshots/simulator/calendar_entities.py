"""Generated calendars with their opening hours, calendar groups, rooms and equipment."""

import random

from ghl_snapshots.simulator.profile import Profile, entity

_WEEKDAYS = (1, 2, 3, 4, 5)
_COLORS = ("#039be5", "#33b679", "#f4511e", "#8e24aa", "#f6bf26")
_TYPES = ("round_robin", "service_booking", "personal", "class_booking", "event")


def calendars(profile: Profile) -> list[bytes]:
    """Calendars; open hours and exceptions are inside each."""
    return [_calendar(profile, index) for index in range(profile.sizes.calendars)]


def calendar_groups(profile: Profile) -> list[bytes]:
    """Groups that calendars are offered in."""
    names = ("New Appointments", "Follow-Ups", "Virtual Visits", "Staff Only")
    return [
        entity(
            {
                "id": profile.short_id("calendar group", index),
                "locationId": profile.location_id,
                "name": names[index % len(names)]
                + ("" if index < len(names) else f" {index // len(names) + 1}"),
                "description": f"Book your visit at {profile.name}",
                "slug": f"{profile.slug}-{index + 1}",
                "isActive": index % 5 != 4,
            }
        )
        for index in range(profile.sizes.calendar_groups)
    ]


def rooms(profile: Profile) -> list[bytes]:
    """Rooms that calendars book."""
    return [
        _resource(profile, "rooms", index, profile.industry.rooms, {"capacity": 1 + index % 12})
        for index in range(profile.sizes.rooms)
    ]


def equipments(profile: Profile) -> list[bytes]:
    """Equipment that calendars book."""
    return [
        _resource(profile, "equipments", index, profile.industry.equipments, {"quantity": 1 + index % 4})
        for index in range(profile.sizes.equipments)
    ]


def _calendar(profile: Profile, index: int) -> bytes:
    services = profile.industry.services
    name, minutes, _price = services[index % len(services)]
    name = name if index < len(services) else f"{name} ({index // len(services) + 1})"
    choice = profile.random("calendar", index)
    content: dict[str, object] = {
        "id": profile.short_id("calendar", index),
        "locationId": profile.location_id,
        "groupId": profile.short_id("calendar group", index % max(1, profile.sizes.calendar_groups)),
        "name": name,
        "description": f"<p>{name} with the team at {profile.name}. Please arrive ten minutes early.</p>",
        "slug": f"{profile.slug}-calendar-{index + 1}",
        "widgetSlug": f"{profile.slug}-calendar-{index + 1}",
        "isActive": index % 6 != 5,
        "calendarType": _TYPES[index % len(_TYPES)],
        "eventType": "RoundRobin_OptimizeForAvailability",
        "eventTitle": f"{name}: {{{{contact.name}}}}",
        "eventColor": _COLORS[index % len(_COLORS)],
        "widgetType": "classic",
        "teamMembers": _team(profile, index),
        "locationConfigurations": [{"kind": "physical", "location": profile.address}],
        **_slots(minutes, choice),
        "openHours": [{"daysOfTheWeek": [day], "hours": hours} for day, hours in open_week(profile)],
        "availabilityType": 0,
        "availabilities": _exceptions(index),
        **_policy(profile, index),
        "originId": profile.short_id("snapshot origin calendar", index),
    }
    return entity(content)


def open_week(profile: Profile) -> list[tuple[int, list[dict[str, int]]]]:
    """Each open day, Monday being 1, with its intervals."""
    opens, closes = profile.industry.opening
    week = [(day, [_hours(opens, 12, 0), _hours(13, closes, 30)]) for day in _WEEKDAYS]
    return [*week, (6, [_hours(opens + 1, 14, 0)])] if profile.industry.weekend else week


def _hours(opens: int, closes: int, minute: int) -> dict[str, int]:
    return {"openHour": opens, "openMinute": 0, "closeHour": closes, "closeMinute": minute}


def _team(profile: Profile, index: int) -> list[dict[str, object]]:
    return [
        {
            "userId": profile.staff(index + place),
            "priority": (0.5, 1, 0)[place],
            "isPrimary": place == 0,
            "locationConfigurations": [{"kind": "physical", "location": profile.address}],
        }
        for place in range(1 + index % 3)
    ]


def _slots(minutes: int, choice: random.Random) -> dict[str, object]:
    return {
        "slotDuration": minutes,
        "slotDurationUnit": "mins",
        "slotInterval": choice.choice((15, 30, 60)),
        "slotIntervalUnit": "mins",
        "slotBuffer": choice.choice((0, 5, 10, 15)),
        "slotBufferUnit": "mins",
        "preBuffer": 0,
        "preBufferUnit": "mins",
        "appoinmentPerSlot": 1,
        "appoinmentPerDay": choice.randint(6, 24),
        "allowBookingAfter": choice.choice((2, 12, 24)),
        "allowBookingAfterUnit": "hours",
        "allowBookingFor": choice.choice((14, 30, 60)),
        "allowBookingForUnit": "days",
    }


def _exceptions(index: int) -> list[dict[str, object]]:
    christmas_eve = {"date": "2026-12-24T00:00:00.000Z", "hours": [_hours(9, 12, 0)], "deleted": False}
    labor_day: dict[str, object] = {"date": "2026-09-07T00:00:00.000Z", "hours": [], "deleted": False}
    return [christmas_eve, labor_day] if index % 2 == 0 else []


def _policy(profile: Profile, index: int) -> dict[str, object]:
    return {
        "enableRecurring": False,
        "formId": profile.short_id("form", index % 2),
        "stickyContact": True,
        "isLivePaymentMode": index % 3 == 0,
        "autoConfirm": True,
        "shouldSendAlertEmailsToAssignedMember": True,
        "alertEmail": f"front-desk@{profile.slug}.example",
        "googleInvitationEmails": False,
        "allowReschedule": True,
        "allowCancellation": index % 4 != 3,
        "shouldAssignContactToTeamMember": True,
        "shouldSkipAssigningContactForExisting": False,
        "notes": "Phone:- {{contact.phone}}\nEmail:- {{contact.email}}\n\nChange it: {{reschedule_link}}",
        "formSubmitType": "ThankYouMessage",
        "formSubmitThanksMessage": "Thank you — we look forward to seeing you!",
        "guestType": "count_only",
        "consentLabel": f"I agree to receive messages from {profile.name}.",
        "lookBusyConfig": {"enabled": index % 5 == 1, "LookBusyPercentage": 20},
    }


def _resource(
    profile: Profile, kind: str, index: int, names: tuple[str, ...], counts: dict[str, int]
) -> bytes:
    content: dict[str, object] = {
        "id": profile.short_id(kind, index),
        "locationId": profile.location_id,
        "name": f"{names[index % len(names)]} {index // len(names) + 1}",
        "description": "",
        "resourceType": kind,
        "isActive": index % 9 != 8,
        "outOfService": 0,
        **counts,
        "calendarIds": [
            profile.short_id("calendar", (index + place) % max(1, profile.sizes.calendars))
            for place in range(2)
        ],
        "isDeleted": False,
    }
    return entity(content)
