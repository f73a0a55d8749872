//! Other systems' ids of customers: who has which, and who may take one.

use std::{collections::BTreeMap, time::Duration};

use super::{ActError, Control};
use crate::{
    domain::{
        Customer, CustomerId, CustomerKey, Record, Source, TenantId,
        alias::{Alias, Claim},
    },
    store::StoreError,
};

/// The aliases that a customer is to have, or has.
type Aliases = BTreeMap<Source, CustomerId>;

/// Claims that are to be given back once the customer's record no longer lists their aliases.
#[derive(Debug, Default)]
pub(super) struct Leaving(Vec<(Alias, Claim)>);

impl Control {
    /// Whom `source` means by `id`: the customer that has it as an alias, else the one of that
    /// name, of whom it is not known whether there is one.
    pub async fn customer_meant(
        &self,
        tenant: &TenantId,
        source: &Source,
        id: &CustomerId,
    ) -> Result<CustomerKey, StoreError> {
        let alias = Alias { tenant: tenant.clone(), source: source.clone(), id: id.clone() };
        if let Some(claim) = self.store.alias(&alias).await?
            && self.lists(&claim.customer, &alias).await?
        {
            return Ok(claim.customer);
        }
        Ok(CustomerKey::new(tenant, id))
    }

    /// The customer that has `alias`, if one does.
    pub async fn customer_by_alias(&self, alias: &Alias) -> Result<Option<Customer>, StoreError> {
        let Some(claim) = self.store.alias(alias).await? else { return Ok(None) };
        let customer = self.customer(&claim.customer).await?;
        Ok(customer.filter(|customer| lists(customer, alias)))
    }

    /// Claims what `key` gains of aliases between `before` and `after`, and tells what it loses.
    pub(super) async fn claim_aliases(
        &self,
        key: &CustomerKey,
        before: &Aliases,
        after: &Aliases,
    ) -> Result<Leaving, ActError> {
        if before == after {
            return Ok(Leaving::default());
        }
        for alias in aliases_beyond(key, after, before) {
            self.claim(key, alias).await?;
        }
        let mut leaving = Vec::new();
        for alias in aliases_beyond(key, before, after) {
            let claim = self.store.alias(&alias).await?;
            leaving.extend(claim.filter(|it| it.customer == *key).map(|claim| (alias, claim)));
        }
        Ok(Leaving(leaving))
    }

    /// Gives back what the record no longer lists. What cannot be given back now may be taken by
    /// whoever claims it later.
    pub(super) async fn release_aliases(&self, Leaving(claims): Leaving) {
        for (alias, claim) in claims {
            if let Err(error) = self.store.set_alias(&alias, Some(&claim), None).await {
                tracing::warn!(alias = %alias, %error, "The claim of an alias stays: {error}");
            }
        }
    }

    /// Claims the aliases that a record lists, where nobody else has.
    pub(super) async fn supply_aliases(&self, record: &Record) -> Result<(), StoreError> {
        let claim = Claim { customer: record.key.clone(), since: self.clock.now() };
        for alias in aliases_beyond(&record.key, &record.body.aliases, &Aliases::new()) {
            self.store.set_alias(&alias, None, Some(&claim)).await?;
        }
        Ok(())
    }

    async fn claim(&self, key: &CustomerKey, alias: Alias) -> Result<(), ActError> {
        let held = self.store.alias(&alias).await?;
        let now = self.clock.now();
        if let Some(Claim { customer, since }) = held.as_ref().filter(|it| it.customer != *key) {
            let is_fresh = now.saturating_since(*since) < UNLISTED_AT_MOST;
            if is_fresh || self.lists(customer, &alias).await? {
                let Alias { source, id, .. } = alias;
                let has_it = customer.clone();
                return Err(ActError::AliasTaken { of: source, id, has_it });
            }
        }
        // Later than the one before, so that whoever is about to give that back leaves this.
        let after = held.as_ref().map(|it| it.since.saturating_add(Duration::from_millis(1)));
        let since = after.map_or(now, |after| after.max(now));
        let claim = Claim { customer: key.clone(), since };
        if self.store.set_alias(&alias, held.as_ref(), Some(&claim)).await? {
            Ok(())
        } else {
            Err(ActError::NotNow("somebody else claims the alias; try again"))
        }
    }

    async fn lists(&self, key: &CustomerKey, alias: &Alias) -> Result<bool, StoreError> {
        let customer = self.store.customer(key).await?;
        Ok(customer.is_some_and(|it| lists(&it, alias)))
    }
}

/// Whether the customer's own record lists `alias`.
fn lists(customer: &Customer, alias: &Alias) -> bool {
    customer.record.body.aliases.get(&alias.source) == Some(&alias.id)
}

/// What is in `some` and not, or another, in `others`.
fn aliases_beyond(key: &CustomerKey, some: &Aliases, others: &Aliases) -> Vec<Alias> {
    // A key's tenant always parses.
    let Ok(tenant) = TenantId::parse(key.tenant()) else { return Vec::new() };
    let beyond = some.iter().filter(|(source, id)| others.get(*source) != Some(*id));
    beyond
        .map(|(source, id)| Alias {
            tenant: tenant.clone(),
            source: source.clone(),
            id: id.clone(),
        })
        .collect()
}

/// How long a claim stands although no record lists its alias: its act may still be under way.
const UNLISTED_AT_MOST: Duration = Duration::from_mins(1);
