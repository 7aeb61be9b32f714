//! Where newcomers of a place get their prefixes.

use super::{
    super::community::{Communities, Location},
    *,
};

const TEXT: &str = "# three parts of the world\n00 FR DE @EU\n\n01 @AS   # but for\n10 JP *\n";

#[test]
fn the_choice() {
    let communities = Communities::parse(TEXT).expect("communities");
    for (location, expected) in [
        ("FR,EU", "00"),
        ("IT,EU", "00"),
        ("CN,AS", "01"),
        ("JP,AS", "10"),
        (",AS", "01"),
        ("US,NA", "10"),
        (",", "10"),
    ] {
        let location = Location::parse(location).expect("a location");
        assert_eq!(
            communities.choose(Some(&location)).to_string(),
            expected,
            "{location:?}"
        );
    }
    assert_eq!(communities.choose(None).to_string(), "10");
    let one = Communities::parse("# nothing\n").expect("no communities");
    assert_eq!(
        one.choose(Location::parse("FR,EU").ok().as_ref()),
        NodePrefix::ROOT
    );
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, words) in [
        ("00 FR", "no community has *"),
        ("00 *\n01 *", "line 2: only one"),
        ("00 *\n0 FR", "line 2: community 0 overlaps community 00"),
        ("00 *\n00 FR", "line 2: community 00 overlaps community 00"),
        ("02 *", "line 1: \"02\""),
        ("00", "line 1: community 00 has no location"),
        ("00 * France", "line 1: \"France\" is no location"),
        ("00 * @Europe", "is no location"),
        (&"0".repeat(129), "at most 128 bits"),
    ] {
        let mistake = Communities::parse(text).expect_err(text);
        assert!(mistake.contains(words), "{text:?}: {mistake}");
    }
    assert!(Communities::parse(&" ".repeat(70_000)).is_err());
    assert!(Location::parse("France").is_err());
}

#[test]
fn they_can_be_edited_while_nodes_have_prefixes() {
    let mut world = World::new();
    let set = |world: &mut World, text: &str| {
        let text = text.to_owned();
        world.operate(Command::SetCommunities { text })
    };
    set(&mut world, TEXT).expect("good communities");
    let (_, request) = newcomer();
    let french = Command::Enrol {
        token: None,
        request,
        location: Location::parse("FR,EU").ok(),
    };

    let node = issued(world.ask(&stranger(), french));

    assert_eq!(node.prefix().common_name(), "0/18");
    let inside = format!("{}0 *", node.prefix());
    let refusal = set(&mut world, &inside).expect_err("it lies inside a prefix that is taken");
    assert!(
        matches!(&refusal, Refusal::Conflict(words) if words.contains("0/18")),
        "{refusal}"
    );
    let reply = world.operate(Command::GetCommunities);
    assert_eq!(
        reply,
        Ok(Reply::Communities(TEXT.into())),
        "the old ones hold"
    );
    set(&mut world, "000 FR\n1 *").expect("others that leave the node its prefix");
    assert_eq!(world.enrol().prefix().to_string(), "10000000000000000");
}

#[test]
fn a_community_leaves_bits_for_nodes() {
    let mut world = World::new();
    let text = format!("{} *", "1".repeat(65));
    let refusal = world.operate(Command::SetCommunities { text });
    assert!(matches!(refusal, Err(Refusal::Invalid(_))), "{refusal:?}");
}
