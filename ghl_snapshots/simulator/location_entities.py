"""Generated entities of a location's own settings, its pipelines and its workflows."""

from ghl_snapshots.simulator.profile import Profile, entity, moment

_STATUSES = ("published", "published", "published", "draft")
_COLORS = ("#155EEF", "#12B76A", "#F79009", "#F04438", "#7A5AF8", "#EE46BC", "#667085")


def location(profile: Profile) -> list[bytes]:
    """The location as /locations/{locationId} gives it."""
    first_name, surname = profile.owner
    business = _business(profile)
    content = {
        **_summary(profile),
        "companyId": profile.company_id,
        "domain": f"app.{profile.slug}.example",
        "logoUrl": f"https://storage.example/locations/{profile.location_id}/logo.png",
        "firstName": first_name,
        "lastName": surname,
        "business": business,
        "reseller": {},
        "dateAdded": moment(profile.random("location"), 90),
        "automaticMobileAppInvite": False,
    }
    return [entity(content)]


def location_summaries(profile: Profile) -> list[bytes]:
    """The location as /locations/search gives it."""
    return [entity(_summary(profile))]


def custom_fields(profile: Profile) -> list[bytes]:
    """Contact and opportunity fields."""
    fields = profile.industry.fields
    made = []
    for index in range(profile.sizes.custom_fields):
        name, data_type, options = fields[index % len(fields)]
        model = "opportunity" if index % 5 == 4 else "contact"
        name = _numbered(name, index // len(fields))
        content: dict[str, object] = {
            "id": profile.short_id("custom field", index),
            "name": name,
            "model": model,
            "fieldKey": f"{model}.{_key(name)}",
            "placeholder": "",
            "dataType": data_type,
            "position": 50 * (index + 1),
            "documentType": "field",
            "parentId": profile.short_id("field folder", 0),
            "locationId": profile.location_id,
            "dateAdded": moment(profile.random("custom field", index), 300),
            "standard": False,
        }
        if options:
            content["picklistOptions"] = list(options)
        made.append(entity(content))
    return made


def custom_values(profile: Profile) -> list[bytes]:
    """Values that messages and funnels are filled from."""
    first_name, surname = profile.owner
    values = (
        ("Business Name", profile.name),
        ("Owner Name", f"{first_name} {surname}"),
        ("Booking Link", f"https://book.{profile.slug}.example"),
        ("Review Link", f"https://g.page/r/{profile.short_id('review', 0)}/review"),
        ("Business Phone", profile.phone()),
        ("Offer Headline", f"{profile.industry.services[0][0]} for ${profile.industry.services[0][2]} 🎉"),
        ("Email Signature", f"Warmly,\n{first_name} and the team at {profile.name}"),
        ("Parking Instructions", "Free parking behind the building; the entrance is on the left."),
    )
    made = []
    for index in range(profile.sizes.custom_values):
        name, value = values[index % len(values)]
        name = _numbered(name, index // len(values))
        content: dict[str, object] = {
            "id": profile.short_id("custom value", index),
            "name": name,
            "fieldKey": f"{{{{ custom_values.{_key(name)} }}}}",
            "value": value,
            "locationId": profile.location_id,
            "documentType": "field",
        }
        made.append(entity(content))
    return made


def tags(profile: Profile) -> list[bytes]:
    """Contact tags."""
    names = profile.industry.tags
    return [
        entity(
            {
                "id": profile.short_id("tag", index),
                "name": _numbered(names[index % len(names)], index // len(names)),
                "locationId": profile.location_id,
            }
        )
        for index in range(profile.sizes.tags)
    ]


def pipelines(profile: Profile) -> list[bytes]:
    """Opportunity pipelines with their stages."""
    names = profile.industry.pipelines
    made = []
    for index in range(profile.sizes.pipelines):
        name, stages = names[index % len(names)]
        choice = profile.random("pipeline", index)
        added = moment(choice, 200)
        content: dict[str, object] = {
            "id": profile.short_id("pipeline", index),
            "name": _numbered(name, index // len(names)),
            "stages": [_stage(profile, index, place, stage) for place, stage in enumerate(stages)],
            "showInFunnel": True,
            "showInPieChart": index == 0,
            "locationId": profile.location_id,
            "colorRenderMode": ("dot", "bg-tint", "none")[index % 3],
            "useOpportunityProbability": choice.random() < 0.5,
            "originId": profile.short_id("snapshot origin", index),
            "dateAdded": added,
            "dateUpdated": max(added, moment(choice)),
        }
        made.append(entity(content))
    return made


def workflows(profile: Profile) -> list[bytes]:
    """Workflows; GHL tells of each no more than this."""
    names = profile.industry.workflows
    made = []
    for index in range(profile.sizes.workflows):
        choice = profile.random("workflow", index)
        created = moment(choice, 300)
        content: dict[str, object] = {
            "id": profile.uuid("workflow", index),
            "name": _numbered(names[index % len(names)], index // len(names)),
            "status": choice.choice(_STATUSES),
            "version": choice.randint(1, 48),
            "createdAt": created,
            "updatedAt": max(created, moment(choice)),
            "locationId": profile.location_id,
        }
        made.append(entity(content))
    return made


def _summary(profile: Profile) -> dict[str, object]:
    return {
        "id": profile.location_id,
        **_business(profile),
        "email": f"hello@{profile.slug}.example",
        "phone": profile.phone(),
        "settings": {
            "allowDuplicateContact": False,
            "allowDuplicateOpportunity": False,
            "allowFacebookNameMerge": False,
            "disableContactTimezone": False,
        },
        "social": {
            "facebookUrl": f"https://www.facebook.com/{profile.slug}",
            "instagram": f"https://www.instagram.com/{profile.slug}",
            "googlePlacesId": f"ChIJ{profile.short_id('place', 0)}",
        },
    }


def _business(profile: Profile) -> dict[str, object]:
    city, state, postal_code, timezone = profile.city
    return {
        "name": profile.name,
        "address": profile.address,
        "city": city,
        "state": state,
        "country": "US",
        "postalCode": postal_code,
        "website": f"https://www.{profile.slug}.example",
        "timezone": timezone,
    }


def _stage(profile: Profile, pipeline: int, place: int, name: str) -> dict[str, object]:
    return {
        "id": profile.uuid("stage", f"{pipeline}/{place}"),
        "name": name,
        "position": place,
        "showInFunnel": True,
        "showInPieChart": True,
        "originId": profile.uuid("origin stage", f"{pipeline}/{place}"),
        "color": _COLORS[place % len(_COLORS)],
        "probability": min(100, 20 * place),
    }


def _numbered(name: str, round_number: int) -> str:
    return name if round_number == 0 else f"{name} {round_number + 1}"


def _key(name: str) -> str:
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())
