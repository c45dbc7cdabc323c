"""Trades with the words that their pipelines, calendars and agents are made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Industry:
    """What a location of one trade sets up in GHL; every tuple is cycled through when more is needed."""

    trade: str
    business_names: tuple[str, ...]
    client: str
    services: tuple[tuple[str, int, int], ...]
    """Name, minutes and price in dollars."""
    pipelines: tuple[tuple[str, tuple[str, ...]], ...]
    workflows: tuple[str, ...]
    rooms: tuple[str, ...]
    equipments: tuple[str, ...]
    tags: tuple[str, ...]
    fields: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Name, data type and options."""
    opening: tuple[int, int]
    """Hours of a working day."""
    weekend: bool


DENTAL = Industry(
    trade="dental practice",
    business_names=("Dental Studio", "Family Dentistry", "Smile Center", "Orthodontics"),
    client="patient",
    services=(
        ("New Patient Exam and X-Rays", 60, 129),
        ("Hygiene Visit", 45, 95),
        ("Emergency Visit", 30, 89),
        ("Invisalign Consultation", 30, 0),
        ("Teeth Whitening", 90, 349),
        ("Implant Consultation", 45, 0),
        ("Crown Preparation", 90, 1150),
    ),
    pipelines=(
        (
            "New Patients",
            ("New Lead", "Contacted", "Exam Booked", "Exam Completed", "Treatment Accepted", "Lost"),
        ),
        (
            "Implant Cases",
            ("Inquiry", "Consultation Booked", "CT Scan", "Plan Presented", "Financing", "Surgery Date Set"),
        ),
        ("Reactivation", ("12+ Months Inactive", "Texted", "Called", "Rebooked", "Declined")),
    ),
    workflows=(
        "New Patient Welcome",
        "Appointment Reminder 24h/2h",
        "Missed Call Text Back",
        "Google Review Request",
        "Six-Month Recall",
        "No-Show Follow-Up",
        "Implant Nurture (8 emails)",
        "Birthday Greeting",
        "Unscheduled Treatment Follow-Up",
        "Insurance Form Reminder",
    ),
    rooms=("Operatory", "Hygiene Bay", "Consultation Room", "Imaging Room"),
    equipments=("CEREC Mill", "CBCT Scanner", "Intraoral Camera", "Nitrous Unit", "Diode Laser"),
    tags=(
        "new patient",
        "hygiene due",
        "implant lead",
        "invisalign",
        "no-show",
        "vip",
        "insurance: delta",
        "reactivated",
    ),
    fields=(
        ("Insurance Provider", "SINGLE_OPTIONS", ("Delta Dental", "Cigna", "MetLife", "Aetna", "None")),
        ("Last Hygiene Visit", "DATE", ()),
        ("Dental Anxiety", "RADIO", ("None", "Some", "Severe")),
        ("Chief Complaint", "LARGE_TEXT", ()),
        ("Referred By", "TEXT", ()),
    ),
    opening=(8, 17),
    weekend=False,
)

HVAC = Industry(
    trade="heating and cooling company",
    business_names=("Heating & Air", "Climate Services", "Comfort Pros", "Mechanical"),
    client="homeowner",
    services=(
        ("AC Tune-Up", 60, 89),
        ("Furnace Safety Inspection", 60, 79),
        ("No-Cool Emergency Call", 90, 149),
        ("System Replacement Estimate", 90, 0),
        ("Duct Cleaning", 180, 399),
        ("Heat Pump Consultation", 60, 0),
    ),
    pipelines=(
        (
            "Service Calls",
            ("Call Received", "Dispatched", "On Site", "Quote Given", "Repaired", "Invoiced", "Paid"),
        ),
        (
            "System Replacements",
            ("Estimate Requested", "Site Visit", "Proposal Sent", "Financing Review", "Won", "Lost"),
        ),
        ("Maintenance Plans", ("Offered", "Interested", "Signed", "Renewal Due", "Renewed", "Cancelled")),
    ),
    workflows=(
        "Emergency Dispatch Alert",
        "Estimate Follow-Up (5 days)",
        "Technician On The Way Text",
        "Review Request After Job",
        "Spring AC Tune-Up Campaign",
        "Fall Furnace Campaign",
        "Maintenance Plan Renewal",
        "Missed Call Text Back",
        "Financing Application Nudge",
        "Filter Replacement Reminder",
    ),
    rooms=("Showroom Desk", "Training Bay", "Warehouse Dock", "Dispatch Room"),
    equipments=("Service Van", "Recovery Machine", "Combustion Analyzer", "Duct Camera", "Crane Truck"),
    tags=(
        "ac",
        "furnace",
        "heat pump",
        "maintenance plan",
        "estimate open",
        "warranty",
        "landlord",
        "24h emergency",
    ),
    fields=(
        ("System Type", "SINGLE_OPTIONS", ("Central AC", "Heat Pump", "Furnace", "Boiler", "Mini-Split")),
        ("System Age (years)", "NUMERICAL", ()),
        ("Preferred Arrival Window", "RADIO", ("8-12", "12-4", "4-8")),
        ("Gate Code", "TEXT", ()),
        ("Last Service", "DATE", ()),
    ),
    opening=(7, 19),
    weekend=True,
)

MED_SPA = Industry(
    trade="medical spa",
    business_names=("Med Spa", "Aesthetics", "Skin & Laser", "Wellness Clinic"),
    client="guest",
    services=(
        ("Botox Appointment", 30, 12),
        ("Lip Filler", 45, 650),
        ("HydraFacial", 60, 199),
        ("Laser Hair Removal", 45, 149),
        ("Microneedling", 75, 299),
        ("Weight-Loss Consultation", 30, 0),
    ),
    pipelines=(
        (
            "Consultations",
            ("Inquiry", "Replied", "Consultation Booked", "Showed", "Treatment Plan", "Purchased", "Lost"),
        ),
        ("Memberships", ("Trial", "Offered", "Joined", "Paused", "Cancelled")),
    ),
    workflows=(
        "Consultation Booked Confirmation",
        "Pre-Treatment Instructions",
        "Post-Treatment Care (Day 1/3/14)",
        "Botox Touch-Up Reminder (12 weeks)",
        "Membership Billing Failed",
        "Lead Magnet: Skin Quiz",
        "Review Request",
        "Birthday Gift Credit",
        "Abandoned Booking",
    ),
    rooms=("Treatment Room", "Laser Suite", "Relaxation Lounge", "IV Room"),
    equipments=("HydraFacial Syndeo", "GentleMax Pro", "SkinPen", "Emsculpt Neo", "LED Panel"),
    tags=("botox", "filler", "member", "laser package", "gift card", "influencer", "consult no-show", "vip"),
    fields=(
        ("Skin Type (Fitzpatrick)", "SINGLE_OPTIONS", ("I", "II", "III", "IV", "V", "VI")),
        ("Allergies", "LARGE_TEXT", ()),
        ("Pregnant or Nursing", "RADIO", ("Yes", "No")),
        ("Areas of Concern", "MULTIPLE_OPTIONS", ("Fine lines", "Acne", "Melasma", "Redness", "Volume loss")),
        ("Last Botox", "DATE", ()),
    ),
    opening=(10, 19),
    weekend=True,
)

LAW = Industry(
    trade="law firm",
    business_names=("Family Law", "Injury Law", "Law Group", "Legal"),
    client="client",
    services=(
        ("Initial Consultation", 45, 150),
        ("Divorce Strategy Session", 60, 250),
        ("Custody Modification Review", 45, 175),
        ("Mediation Intake", 60, 200),
        ("Prenuptial Agreement Review", 60, 450),
    ),
    pipelines=(
        (
            "Intake",
            (
                "New Inquiry",
                "Conflict Check",
                "Consultation Booked",
                "Consulted",
                "Retainer Sent",
                "Retained",
                "Declined",
            ),
        ),
        ("Active Matters", ("Filed", "Discovery", "Mediation", "Hearing Set", "Order Entered", "Closed")),
    ),
    workflows=(
        "Intake Form Follow-Up",
        "Consultation Reminder",
        "Retainer Unsigned (3 touches)",
        "Hearing Date Notice",
        "Document Request",
        "Matter Closed and Review Request",
        "Referral Partner Update",
        "Missed Call Text Back",
    ),
    rooms=("Conference Room", "Mediation Suite", "Deposition Room"),
    equipments=("Deposition Kit", "Projector", "Notary Kit"),
    tags=("divorce", "custody", "mediation", "retained", "conflict", "referral: cpa", "spanish speaking"),
    fields=(
        ("Matter Type", "SINGLE_OPTIONS", ("Divorce", "Custody", "Support", "Adoption", "Prenup")),
        ("Opposing Party", "TEXT", ()),
        ("Court Date", "DATE", ()),
        ("Children Under 18", "NUMERICAL", ()),
        ("Summary of Matter", "LARGE_TEXT", ()),
    ),
    opening=(9, 18),
    weekend=False,
)

FITNESS = Industry(
    trade="fitness studio",
    business_names=("Fitness Collective", "Strength Club", "Yoga House", "CrossFit"),
    client="member",
    services=(
        ("Free Intro Session", 45, 0),
        ("Personal Training", 60, 85),
        ("Body Composition Scan", 20, 35),
        ("Nutrition Coaching", 45, 75),
        ("Small Group Strength", 60, 25),
        ("Recovery Lounge", 45, 30),
    ),
    pipelines=(
        ("Memberships", ("Lead", "Trial Booked", "Trial Attended", "Offer Made", "Joined", "Did Not Join")),
        ("Retention", ("At Risk", "Coach Reached Out", "Goal Review", "Saved", "Cancelled")),
        ("Corporate Wellness", ("Prospect", "Proposal", "Pilot", "Contract", "Renewal")),
    ),
    workflows=(
        "Free Trial Sequence",
        "Trial No-Show",
        "New Member Onboarding (30 days)",
        "Failed Payment Recovery",
        "At-Risk Member Alert",
        "Class Waitlist Open",
        "Referral Challenge",
        "Win-Back 90 Days",
        "Review Request",
    ),
    rooms=("Studio", "Turf Lane", "Recovery Pod", "Spin Room", "Assessment Room"),
    equipments=("InBody Scanner", "Reformer", "Assault Bike", "Sled", "Cold Plunge"),
    tags=("trial", "member", "at risk", "pt client", "corporate", "nutrition", "referred"),
    fields=(
        ("Primary Goal", "SINGLE_OPTIONS", ("Lose fat", "Build muscle", "Mobility", "Event training")),
        ("Injuries", "LARGE_TEXT", ()),
        ("Preferred Class Times", "MULTIPLE_OPTIONS", ("6 am", "9 am", "Noon", "5 pm", "7 pm")),
        ("Emergency Contact", "PHONE", ()),
        ("Join Date", "DATE", ()),
    ),
    opening=(5, 21),
    weekend=True,
)

INDUSTRIES = (DENTAL, HVAC, MED_SPA, LAW, FITNESS)
