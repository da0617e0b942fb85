//! The records of the sample API, and the changes that it allows.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Limit of the number of records of each kind.
const MOST_RECORDS: usize = 10_000;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Invalid {
    NoSuchRecord,
    /// What is wrong with the body.
    Body(String),
}

fn invalid(why: impl Into<String>) -> Invalid {
    Invalid::Body(why.into())
}

/// All records of the sample API. They are numbered from 1 and never removed.
#[derive(Debug)]
pub(super) struct Desk {
    name: &'static str,
    tickets: Vec<Ticket>,
    customers: Vec<Customer>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Ticket {
    id: usize,
    subject: String,
    description: String,
    status: Status,
    priority: Priority,
    customer_id: usize,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Open,
    Pending,
    Solved,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Priority {
    Low,
    Normal,
    High,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Customer {
    id: usize,
    name: String,
    email: String,
    created_at: String,
}

impl Desk {
    /// Returns a desk with a few records.
    pub(super) fn new(name: &'static str) -> Self {
        let now = now();
        let customer = |id, name: &str, email: &str| Customer {
            id,
            name: name.into(),
            email: email.into(),
            created_at: now.clone(),
        };
        let ticket = |id, subject: &str, status, priority, customer_id| Ticket {
            id,
            subject: subject.into(),
            description: String::new(),
            status,
            priority,
            customer_id,
            created_at: now.clone(),
            updated_at: now.clone(),
        };
        Self {
            name,
            customers: vec![
                customer(1, "Example Ltd", "office@example.com"),
                customer(2, "Example Bakery", "shop@example.org"),
            ],
            tickets: vec![
                ticket(1, "The invoice has the wrong address", Status::Open, Priority::Normal, 1),
                ticket(2, "How do I change my password?", Status::Solved, Priority::Low, 2),
                ticket(3, "The checkout page does not load", Status::Pending, Priority::High, 2),
            ],
        }
    }

    pub(super) fn status(&self) -> serde_json::Value {
        serde_json::json!({
            "desk": self.name,
            "status": "ok",
            "tickets": self.tickets.len(),
            "customers": self.customers.len(),
        })
    }
}

/// A kind of record.
pub(super) trait Kind {
    type Record: Serialize;
    /// The name in the path and the JSON member of the list.
    const NAME: &'static str;

    fn list(desk: &Desk) -> &[Self::Record];
    fn show(desk: &Desk, id: usize) -> Result<&Self::Record, Invalid> {
        id.checked_sub(1).and_then(|index| Self::list(desk).get(index)).ok_or(Invalid::NoSuchRecord)
    }
    fn create<'d>(desk: &'d mut Desk, body: &[u8]) -> Result<(usize, &'d Self::Record), Invalid>;
    fn change<'d>(desk: &'d mut Desk, id: usize, body: &[u8]) -> Result<&'d Self::Record, Invalid>;
}

pub(super) enum Tickets {}

/// The body of a request about tickets. Absent members stay unchanged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketBody {
    subject: Option<String>,
    description: Option<String>,
    status: Option<Status>,
    priority: Option<Priority>,
    customer_id: Option<usize>,
}

impl TicketBody {
    fn read(desk: &Desk, body: &[u8]) -> Result<Self, Invalid> {
        let body: Self = read(body)?;
        if body.customer_id.is_some_and(|id| Customers::show(desk, id).is_err()) {
            return Err(invalid("`customer_id` is no customer's"));
        }
        not_blank("subject", body.subject.as_deref())?;
        Ok(body)
    }

    fn apply(self, ticket: &mut Ticket) {
        set(&mut ticket.subject, self.subject);
        set(&mut ticket.description, self.description);
        set(&mut ticket.status, self.status);
        set(&mut ticket.priority, self.priority);
        set(&mut ticket.customer_id, self.customer_id);
        ticket.updated_at = now();
    }
}

impl Kind for Tickets {
    type Record = Ticket;
    const NAME: &'static str = "tickets";

    fn list(desk: &Desk) -> &[Ticket] {
        &desk.tickets
    }

    fn create<'d>(desk: &'d mut Desk, body: &[u8]) -> Result<(usize, &'d Ticket), Invalid> {
        let body = TicketBody::read(desk, body)?;
        let subject = body.subject.clone().ok_or_else(|| invalid("a ticket needs a `subject`"))?;
        let customer_id =
            body.customer_id.ok_or_else(|| invalid("a ticket needs a `customer_id`"))?;
        let id = next_id(desk.tickets.len())?;
        let (description, now) = (String::new(), now());
        let created_at = now.clone();
        let (status, priority) = (Status::Open, Priority::Normal);
        let mut ticket = Ticket {
            id,
            subject,
            description,
            status,
            priority,
            customer_id,
            created_at,
            updated_at: now,
        };
        body.apply(&mut ticket);
        desk.tickets.push(ticket);
        Ok((id, &desk.tickets[id - 1]))
    }

    fn change<'d>(desk: &'d mut Desk, id: usize, body: &[u8]) -> Result<&'d Ticket, Invalid> {
        Self::show(desk, id)?;
        let body = TicketBody::read(desk, body)?;
        let ticket = &mut desk.tickets[id - 1];
        body.apply(ticket);
        Ok(ticket)
    }
}

pub(super) enum Customers {}

/// The body of a request about customers. Absent members stay unchanged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerBody {
    name: Option<String>,
    email: Option<String>,
}

impl CustomerBody {
    fn read(body: &[u8]) -> Result<Self, Invalid> {
        let body: Self = read(body)?;
        not_blank("name", body.name.as_deref())?;
        if body.email.as_ref().is_some_and(|email| !email.contains('@')) {
            return Err(invalid("`email` is no address"));
        }
        Ok(body)
    }
}

impl Kind for Customers {
    type Record = Customer;
    const NAME: &'static str = "customers";

    fn list(desk: &Desk) -> &[Customer] {
        &desk.customers
    }

    fn create<'d>(desk: &'d mut Desk, body: &[u8]) -> Result<(usize, &'d Customer), Invalid> {
        let body = CustomerBody::read(body)?;
        let name = body.name.ok_or_else(|| invalid("a customer needs a `name`"))?;
        let email = body.email.ok_or_else(|| invalid("a customer needs an `email`"))?;
        let id = next_id(desk.customers.len())?;
        desk.customers.push(Customer { id, name, email, created_at: now() });
        Ok((id, &desk.customers[id - 1]))
    }

    fn change<'d>(desk: &'d mut Desk, id: usize, body: &[u8]) -> Result<&'d Customer, Invalid> {
        Self::show(desk, id)?;
        let body = CustomerBody::read(body)?;
        let customer = &mut desk.customers[id - 1];
        set(&mut customer.name, body.name);
        set(&mut customer.email, body.email);
        Ok(customer)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Invalid> {
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the body is not as it should be: {error}")))
}

fn not_blank(name: &str, text: Option<&str>) -> Result<(), Invalid> {
    if text.is_some_and(|text| text.trim().is_empty()) {
        Err(invalid(format!("`{name}` is empty")))
    } else {
        Ok(())
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn next_id(records: usize) -> Result<usize, Invalid> {
    if records < MOST_RECORDS {
        Ok(records + 1)
    } else {
        Err(invalid("the desk is full; start the demo again"))
    }
}

fn now() -> String {
    format!("{:.0}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_error<T>(outcome: Result<T, Invalid>) -> String {
        match outcome {
            Err(Invalid::Body(why)) => why,
            _ => panic!("the body was accepted"),
        }
    }

    #[test]
    fn a_ticket_is_created_shown_changed_and_listed() {
        let mut desk = Desk::new("Desk");
        let before = Tickets::list(&desk).len();
        let (id, _) = Tickets::create(
            &mut desk,
            br#"{"subject": "New", "customer_id": 2, "priority": "high"}"#,
        )
        .unwrap();
        Tickets::change(&mut desk, id, br#"{"status": "solved"}"#).unwrap();
        let ticket = serde_json::to_value(Tickets::show(&desk, id).unwrap()).unwrap();
        assert_eq!(
            (&ticket["subject"], &ticket["status"], &ticket["priority"]),
            (&"New".into(), &"solved".into(), &"high".into())
        );
        assert_eq!(Tickets::list(&desk).len(), before + 1);
    }

    #[test]
    fn bad_bodies_change_nothing_and_say_why() {
        let mut desk = Desk::new("Desk");
        for (body, word) in [
            ("", "EOF"),
            ("{}", "subject"),
            (r#"{"subject": " ", "customer_id": 1}"#, "subject"),
            (r#"{"subject": "x"}"#, "customer_id"),
            (r#"{"subject": "x", "customer_id": 99}"#, "customer_id"),
            (r#"{"subject": "x", "customer_id": 0}"#, "customer_id"),
            (r#"{"subject": "x", "customer_id": 1, "colour": "red"}"#, "colour"),
        ] {
            let why = body_error(Tickets::create(&mut desk, body.as_bytes()));
            assert!(why.contains(word), "{body}: {why}");
        }
        assert_eq!(Tickets::list(&desk).len(), 3);
        assert!(
            body_error(Customers::create(&mut desk, br#"{"name": "x", "email": "y"}"#))
                .contains("email")
        );
    }

    #[test]
    fn there_is_no_record_zero_and_none_beyond_the_last() {
        let mut desk = Desk::new("Desk");
        assert!(matches!(Tickets::show(&desk, 0), Err(Invalid::NoSuchRecord)));
        assert!(matches!(
            Tickets::change(&mut desk, usize::MAX, b"{}"),
            Err(Invalid::NoSuchRecord)
        ));
    }
}
