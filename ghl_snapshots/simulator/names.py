"""Names of people, places and companies."""

FIRST_NAMES = ("Ava", "Marcus", "Sofía", "Liam", "Priya", "Jonas", "Chloé", "Darnell", "Mei", "Grace")
SURNAMES = (
    "Whitfield",
    "Okafor",
    "Delgado",
    "Brennan",
    "Nguyen",
    "Castellano",
    "Hartmann",
    "Reyes",
    "Lindqvist",
    "Patel",
)
CITIES = (
    ("Portland", "ME", "04101", "America/New_York"),
    ("Denver", "CO", "80202", "America/Denver"),
    ("Austin", "TX", "78701", "America/Chicago"),
    ("Chicago", "IL", "60601", "America/Chicago"),
    ("San Diego", "CA", "92101", "America/Los_Angeles"),
    ("Raleigh", "NC", "27601", "America/New_York"),
    ("Tucson", "AZ", "85701", "America/Phoenix"),
    ("Tacoma", "WA", "98402", "America/Los_Angeles"),
)
PLACE_WORDS = (
    "Harbor",
    "Summit",
    "Verde",
    "Ironclad",
    "Redwood",
    "Lakeside",
    "Northgate",
    "Juniper",
    "Copper",
    "Beacon",
    "Willow",
    "Granite",
    "Sunrise",
    "Prairie",
    "Cedar",
    "Mesa",
    "Magnolia",
    "Cascade",
    "Atlas",
    "Bluebird",
)
STREETS = (
    "Commercial St",
    "Larimer St",
    "Congress Ave",
    "Wacker Dr",
    "Harbor Dr",
    "Market St",
    "Maple Ave",
    "5th Ave",
)
AGENCY_WORDS = (
    "Northlight",
    "Brightline",
    "Keystone",
    "Fieldstone",
    "Lighthouse",
    "Trailhead",
    "Foundry",
    "Riverbend",
)
